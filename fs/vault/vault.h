// One opened vault: builds every station of the line from the bottom up, and stops them from the top down.
//
//     lock ─ key ─ tree ─ spool ─ sealer ─ client ─ committer ─ fetcher ─ uploader ─ lease / follower ─ file system
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <stop_token>
#include <string>

#include "common/base/result.h"
#include "fs/files/file_system.h"
#include "fs/seal/compression.h"
#include "fs/vault/home.h"
#include "fs/vault/key_source.h"
#include "fs/vault/status.h"

namespace coffer::vault {

struct Options {
  bool read_only = false;
  bool force_lease = false;  ///< Take the lease from another client that holds it.
  seal::Compression compression;
  bool fsync_local = false;       ///< fsync=local: fsync answers when spooled and safe from a power cut.
  std::uint64_t cache_bytes = 0;  ///< Of the spool; 0 for its default.
  std::string mountpoint;         ///< Told to others that find the vault locked.
};

/// Inodes and names that another client changed: what the kernel may hold of them is stale.
using Invalidate = std::function<void(const meta::Changed&)>;

/// What verify() found of one file.
struct Verdict {
  InodeId inode;
  std::uint64_t bytes = 0;
  std::uint64_t chunks = 0;
  std::string damage;  ///< Empty if all is good, else what is wrong with which chunk.
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

  /// Reads every chunk of the file back from the server and opens it; good ones get a verified date.
  Result<Verdict> verify(InodeId file, bool read_data, std::stop_token stop);
  /// Drops what is cached of the server's chunks.
  Result<void> clear_spool();

  /// Flushes, stops everything from the top down, and gives the lease back. What is owed stays owed.
  Result<void> close();

 private:
  class Parts;
  explicit Vault(std::unique_ptr<Parts> parts);
  std::unique_ptr<Parts> parts_;
};

}  // namespace coffer::vault
