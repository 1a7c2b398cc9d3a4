// The stations of one opened vault. For fs/vault only.
#pragma once

#include <atomic>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "common/base/mutex.h"
#include "common/crypto/wipe.h"
#include "fs/chunk/piece_hash.h"
#include "fs/commit/committer.h"
#include "fs/fetch/chunk_source.h"
#include "fs/fetch/fetcher.h"
#include "fs/files/durability.h"
#include "fs/spool/spool.h"
#include "fs/spool/staging.h"
#include "fs/upload/healer.h"
#include "fs/upload/uploader.h"
#include "fs/vault/certificate.h"
#include "fs/vault/follower.h"
#include "fs/vault/lease.h"
#include "fs/vault/log_watch.h"
#include "fs/vault/vault.h"

namespace coffer::vault {

/// Members stand in the order in which they are built; they are destroyed the other way round.
class Vault::Parts final : public meta::TreeEvents, public files::Durability {
 public:
  Parts(VaultFolder folder, VaultSettings settings, Options options, FolderLock lock);
  ~Parts() override;

  Result<void> build(const KeySource& source);
  Result<void> close();
  Status status() const;
  bool is_read_only() const;
  void on_changed(Invalidate invalidate);
  Result<void> clear_spool();

  // meta::TreeEvents
  void chunk_dropped(const ChunkRow& chunk) override;
  void changed() override;
  void failed(const Error& error) override { disk_failure_.note(error); }
  // files::Durability
  Result<void> wait_committed(InodeId inode, os::SteadyTime deadline, std::stop_token stop) override;
  Result<void> wait_all_committed(os::SteadyTime deadline, std::stop_token stop) override;
  Result<void> make_power_safe() override;
  std::optional<Error> lost_content(InodeId inode) override;
  Result<void> accepts(std::uint64_t more_bytes) override;
  files::Capacity capacity() override;
  DiskFailure& disk_failure() override { return disk_failure_; }
  std::string status_json() override;

  const VaultFolder folder;
  VaultSettings settings;  // Written by build() alone.
  const Options options;
  FolderLock lock;
  DiskFailure disk_failure_;  // Before all that may note it to its end.
  std::unique_ptr<rpc::Client> client;
  std::optional<crypto::Secret> chunker_key;
  std::optional<chunk::PieceHasher> pieces;
  std::unique_ptr<seal::Sealer> sealer;
  std::unique_ptr<meta::Tree> tree;
  std::unique_ptr<spool::Spool> spool;
  std::unique_ptr<spool::Staging> staging;
  std::unique_ptr<commit::Committer> committer;
  std::unique_ptr<fetch::RpcChunkSource> source;
  std::unique_ptr<fetch::Fetcher> fetcher;
  std::unique_ptr<upload::RpcRemote> remote;
  std::unique_ptr<upload::Uploader> uploader;
  std::unique_ptr<upload::Healer> healer;
  std::unique_ptr<LogWatch> log_watch;
  std::unique_ptr<Follower> follower;
  std::unique_ptr<Lease> lease;
  std::unique_ptr<files::FileSystem> file_system;

 private:
  Result<void> connect();
  Result<keys::VaultKey> open_key(const KeySource& source);
  Result<void> open_stations(const keys::VaultKey& key);
  void load_tree_of_vault();
  void follow_the_log();
  Result<void> reach_head();
  /// The root of a vault that nobody has written to yet belongs to whoever mounts it first.
  Result<void> own_new_root();
  Result<void> lease_granted(std::uint64_t epoch);
  void tree_changed(meta::Changed changed);
  void link_changed();
  void keep_up();
  void fence(const std::string& why);
  bool is_refused() const { return is_refused_ && client->link() == rpc::Link::refused; }
  void chunk_failed(const ChunkRow& chunk, const std::optional<Error>& error);
  std::optional<Error> failure_of(InodeId inode);
  bool is_log_known();
  void alarmed(const Error& why);
  /// `then`: before the server was asked.
  void server_said(const rpc::VaultState& state, const upload::Progress& then);
  void count_changes();
  /// With so much more content.
  files::Capacity capacity_with(std::uint64_t more_bytes);

  std::atomic<bool> is_running_{false};  // The link's changes are for stations that stand.
  std::atomic<bool> read_only_{false};
  std::atomic<bool> is_fenced_{false};           // The lease is lost: nothing more is accepted.
  std::atomic<bool> is_refused_{false};          // The same for as long as the link is refused.
  std::atomic<bool> changed_while_open_{false};  // By another client: the kernel keeps an old size.
  bool is_closed_ = false;
  bool is_online_at_open_ = false;
  bool has_tree_ = false;
  mutable Mutex mutex_;
  Invalidate invalidate_ GUARDED_BY(mutex_);
  std::optional<rpc::VaultState> server_state_ GUARDED_BY(mutex_);
  std::uint64_t sent_then_ GUARDED_BY(mutex_) = 0;  // What counted of all sent before server_state_ was asked for.
  Mark counted_at_ GUARDED_BY(mutex_){};            // When changes_then_ was how many inodes and names are owed.
  std::uint64_t changes_then_ GUARDED_BY(mutex_) = 0;
  std::string alarm_ GUARDED_BY(mutex_);
  struct FailedChunk {
    object::ChunkId id;
    Error why;
    std::vector<InodeId> inodes;  // That use it.
  };
  std::map<ChunkKey, FailedChunk> failed_chunks_ GUARDED_BY(mutex_);
};

/// What clear_unmounted() (vault.h) does; the caller holds the folder's lock.
Result<void> clear_if_allowed(const VaultFolder& folder, bool and_tree, bool discard_owed);
/// Deletes spool and staging files, and the tree with `and_tree`; the caller holds the folder's lock. Cut off at any
/// point, it leaves a tree with all that it owes, or none.
Result<void> clear_folder(const VaultFolder& folder, bool and_tree);
/// What can be said from the tree alone; the rest is as of a vault that is not open.
Status status_of_tree(const VaultSettings& settings, meta::Tree& tree);

}  // namespace coffer::vault
