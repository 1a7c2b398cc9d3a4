// Everything of a vault but the way to the server: tree, spool, sealer, committer, fetcher and FileSystem over a folder
// of the test, and a stand-in for the rest that counts as committed whatever is spooled.
#pragma once

#include <atomic>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "common/base/mutex.h"
#include "common/os/random.h"
#include "fs/chunk/piece_hash.h"
#include "fs/commit/committer.h"
#include "fs/fetch/fetcher.h"
#include "fs/files/file_system.h"
#include "fs/keys/vault_key.h"
#include "fs/meta/tree.h"
#include "fs/seal/sealer.h"
#include "fs/spool/spool.h"
#include "fs/spool/staging.h"

namespace coffer::testing {

/// Opens what is in the folder, or makes it. The same folder opened again shows the same tree. Checks itself with
/// COFFER_CHECK: a vault that does not open is no test.
class LocalVault : public meta::TreeEvents, public files::Durability, public fetch::ChunkSource {
 public:
  explicit LocalVault(const std::string& folder, files::FileSystemOptions options = {});
  /// Flushes what is buffered, unless kill() was called.
  ~LocalVault() override;
  LocalVault(const LocalVault&) = delete;
  LocalVault& operator=(const LocalVault&) = delete;

  files::FileSystem& file_system() { return *file_system_; }
  meta::Tree& tree() { return *tree_; }
  commit::Committer& committer() { return *committer_; }
  fetch::Fetcher& fetcher() { return *fetcher_; }
  /// The destructor flushes nothing, as if the process had been killed.
  void kill() { is_killed_ = true; }

  /// Flushes, and leaves content to the server alone: nothing in the spool, nothing decoded. Not kept over a restart.
  void move_content_to_server();

  /// Answers all that `server` left unanswered with a failure.
  void fail_fetches();

  // -- what the stand-in answers
  /// fsync and the barrier fail, or wait for their `stop`.
  enum class Server { commits, refuses, never_answers };
  std::atomic<Server> server{Server::commits};
  std::atomic<bool> is_quota_full{false};
  std::atomic<std::uint64_t> quota_bytes{0};  ///< What totals() go by; 0: none.
  std::atomic<bool> stalls_writes{false};     ///< Content is not accepted before this is false again.
  std::atomic<int> stalled{0};                ///< Writes that wait for it.
  std::atomic<int> fetches{0};                ///< Calls of get_chunk().
  std::atomic<int> waits{0};                  ///< Calls of wait_committed().
  std::atomic<int> waits_for_all{0};          ///< Calls of wait_all_committed().
  std::atomic<int> power_safe_calls{0};       ///< Calls of make_power_safe().

  // -- TreeEvents
  void chunk_dropped(const ChunkRow& chunk) override;
  // -- Durability
  Result<void> wait_committed(InodeId inode, os::SteadyTime deadline, std::stop_token stop) override;
  Result<void> wait_all_committed(os::SteadyTime deadline, std::stop_token stop) override;
  Result<void> make_power_safe() override;
  std::optional<Error> lost_content(InodeId) override { return std::nullopt; }
  Result<void> accepts(std::uint64_t more_bytes) override;
  files::Capacity capacity() override {
    files::Capacity capacity;
    if (quota_bytes > 0) capacity.quota_bytes = quota_bytes;
    return capacity;
  }
  DiskFailure& disk_failure() override { return disk_failure_; }
  std::string status_json() override { return R"({"server":"none"})"; }
  // -- ChunkSource: what move_content_to_server() moved; never, where `server` never answers.
  void get_chunk(const object::ChunkId& id, os::SteadyTime deadline, std::function<void(Result<Bytes>)> done) override;

 private:
  Result<void> open(const std::string& folder, const files::FileSystemOptions& options);
  Result<void> answer_wait(const std::stop_token& stop);

  bool is_killed_ = false;
  DiskFailure disk_failure_;
  Mutex mutex_;
  std::map<object::ChunkId, Bytes> moved_ GUARDED_BY(mutex_);
  std::vector<std::function<void(Result<Bytes>)>> unanswered_ GUARDED_BY(mutex_);
  std::optional<crypto::Secret> chunker_key_;
  std::optional<chunk::PieceHasher> pieces_;
  std::unique_ptr<meta::Tree> tree_;
  std::unique_ptr<spool::Spool> spool_;
  std::unique_ptr<spool::Staging> staging_;
  std::unique_ptr<seal::Sealer> sealer_;
  std::unique_ptr<commit::Committer> committer_;
  std::unique_ptr<fetch::Fetcher> fetcher_;
  std::unique_ptr<files::FileSystem> file_system_;
};

}  // namespace coffer::testing
