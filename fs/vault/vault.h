// One opened vault: builds every station of the line from the bottom up, and stops them from the top down.
//
//     lock ─ key ─ tree ─ spool ─ sealer ─ client ─ committer ─ fetcher ─ uploader ─ lease / follower ─ file system
#pragma once

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <stop_token>
#include <string>
#include <vector>

#include "common/base/limits.h"
#include "common/base/result.h"
#include "fs/commit/committer.h"
#include "fs/files/file_system.h"
#include "fs/seal/compression.h"
#include "fs/vault/home.h"
#include "fs/vault/key_source.h"
#include "fs/vault/owed.h"
#include "fs/vault/status.h"

namespace coffer::vault {

struct Options {
  bool read_only = false;
  bool force_lease = false;  ///< Take the lease from another client that holds it.
  seal::Compression compression;
  files::FileSystemOptions files;                           ///< Its read_only is as the vault turns out to be.
  std::uint64_t cache_bytes = 0;                            ///< Of the spool; 0 for its default.
  std::chrono::milliseconds full_wait = commit::kFullWait;  ///< Of a write while there is no room.
  std::string mountpoint;                                   ///< Told to others that find the vault locked.
};

/// Inodes and names that another client changed: what the kernel may hold of them is stale.
using Invalidate = std::function<void(const meta::Changed&)>;

struct VerifyRequest {
  std::vector<std::string> paths;  ///< "/a/b" in the vault: files, or folders with all below them. Empty: everything.
  bool read_data = false;          ///< Read every chunk back and open it; else the server reads and hashes its copies.
  std::string against;             ///< A local folder (or file) whose content must be that of the one path; or empty.
};

/// What verify() found wrong, of one path.
struct Finding {
  enum class Kind {
    corrupt,    ///< A chunk is missing or damaged on the server, or does not open.
    different,  ///< Not the same as in the other folder, or only there.
    owed,       ///< Not on the server yet.
  };
  Kind kind = Kind::corrupt;
  std::string path;
  std::string what;
};

struct VerifyReport {
  std::uint64_t files = 0, bytes = 0;         ///< Looked at.
  std::uint64_t chunks = 0, chunk_bytes = 0;  ///< Checked on the server, or read back from it.
  std::uint64_t compared_files = 0;
  std::vector<Finding> findings;

  bool has(Finding::Kind kind) const {
    return std::ranges::any_of(findings, [&](const Finding& finding) { return finding.kind == kind; });
  }
};

/// Thread-safe once open. Blocks as each function says.
class Vault {
 public:
  /// Blocks for scrypt, and for the server if it can be reached: the tree is brought up to its head first. Offline it
  /// opens with the tree as it is, unless there is none yet (Fault::offline).
  ///
  /// Where another client holds the lease the vault opens read-only, and status() says who.
  static Result<std::unique_ptr<Vault>> open(const VaultFolder& folder, const Options& options,
                                             const KeySource& source);
  ~Vault();

  files::FileSystem& file_system();
  meta::Tree& tree();
  const VaultSettings& settings() const;
  bool is_read_only() const;

  void on_changed(Invalidate invalidate);

  /// Waits until everything that was written before is committed. Fault::offline at the deadline.
  Result<void> sync(std::chrono::steady_clock::time_point deadline, std::stop_token stop = {});
  Status status() const;

  /// Blocks; `progress` is told the chunks that are done and those there are in all. Good chunks get a verified date,
  /// bad ones lose theirs. Findings are no failure of the call.
  Result<VerifyReport> verify(const VerifyRequest& request,
                              const std::function<void(std::uint64_t done, std::uint64_t of)>& progress,
                              std::stop_token stop);
  /// Drops what is cached of the server's chunks. Fault::refused with EBUSY while anything is owed.
  Result<void> clear_spool();

  /// Oldest first, with the reason why each does not go.
  Result<std::vector<OwedEntry>> owed();
  /// Writes what is owed below `to`, an absolute path, which is made where it is missing; overwrites nothing. What
  /// could not be exported stands in the report. Blocks; waits for the server only for what is not here.
  Result<ExportReport> export_owed(const std::string& to, const ExportProgress& progress, std::stop_token stop);

  rpc::Client& client();
  const VaultFolder& folder() const;

  /// Flushes, stops everything from the top down, and gives the lease back. What is owed stays owed.
  Result<void> close();

 private:
  friend class Verification;
  friend class Recovery;

 public:
  class Parts;  ///< For fs/vault only.

 private:
  explicit Vault(std::unique_ptr<Parts> parts);
  std::unique_ptr<Parts> parts_;
};

/// The state of a vault that no process has open, from its folder alone. Fault::refused (EBUSY) where one has.
Result<Status> status_unmounted(const VaultFolder& folder);
/// Deletes spool and staging files of a vault that no process has open, and its tree with `and_tree`. Fault::refused
/// (EBUSY) where one has, or where anything is owed, unless `discard_owed`.
Result<void> clear_unmounted(const VaultFolder& folder, bool and_tree, bool discard_owed);

}  // namespace coffer::vault
