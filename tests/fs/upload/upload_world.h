// A server in memory, and a client's tree, spool and Uploader before it.
#pragma once

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <algorithm>
#include <atomic>
#include <map>
#include <set>

#include "common/base/mutex.h"
#include "common/crypto/hash.h"
#include "common/object/commit.h"
#include "common/os/clock.h"
#include "common/os/disk.h"
#include "fs/keys/vault_key.h"
#include "fs/upload/uploader.h"
#include "tests/testing/eventually.h"
#include "tests/testing/faulty_disk.h"
#include "tests/testing/seeded_random.h"
#include "tests/testing/temp_dir.h"

namespace coffer::upload {

using std::chrono::steady_clock;
using namespace std::chrono_literals;

/// A server in memory that keeps the rules of a log: a commit names stored chunks only, and follows the last one.
class FakeServer : public Remote {
 public:
  bool online() const override {
    const MutexLock lock(mutex_);
    return online_;
  }
  void somebody_waits(bool begins) override { waiting_ += begins ? 1 : -1; }
  void have(std::vector<object::ChunkId> ids, rpc::Deadline, rpc::Done<std::vector<rpc::HaveState>> done) override {
    std::vector<rpc::HaveState> states;
    {
      const MutexLock lock(mutex_);
      for (const object::ChunkId& id : ids) {
        const auto received = received_.find(id);
        states.push_back({received == received_.end() ? 0 : received->second, stored_.contains(id)});
      }
    }
    done(std::move(states));
  }
  void put_chunk(const object::ChunkId& id, std::shared_ptr<const Bytes>, std::uint64_t offset, rpc::Deadline,
                 rpc::Done<rpc::PutChunkDone> done) override {
    std::optional<Error> error;
    {
      const MutexLock lock(mutex_);
      ++puts_[id];
      last_offset_[id] = offset;
      if (!online_) error = Error{Fault::offline, ETIMEDOUT, "offline"};
      if (const auto bad = refusals_.find(id); bad != refusals_.end()) error = bad->second;
      if (all_refused_) error = all_refused_;
      if (!error) stored_.insert(id);
      if (!error && lose_answers_) {
        lost_.push_back(std::move(done));
        return;
      }
    }
    if (error) return done(*error);
    done(rpc::PutChunkDone{});
  }
  std::size_t carried_bytes_max() const override { return carried_bytes_max_; }
  void append_commit(Bytes bytes, std::vector<std::shared_ptr<const Bytes>> carried, rpc::Deadline,
                     rpc::Done<object::Receipt> done) override {
    const object::Commit commit = *object::decode_commit(bytes);
    object::Receipt receipt;
    {
      const MutexLock lock(mutex_);
      if (!carried.empty() && carry_refusal_) return done(*carry_refusal_);
      if (commit_refusal_) return done(*commit_refusal_);
      for (const auto& chunk : carried) stored_.insert(object::ChunkId(crypto::sha256(*chunk)));
      carried_count_ += carried.size();
      for (const object::ChunkId& id : commit.added) {
        if (!stored_.contains(id)) commit_before_chunk_ = true;
      }
      if (std::ranges::find(commits_, bytes) == commits_.end()) commits_.push_back(bytes);
      receipt.seq = commit.seq;
      receipt.hash = object::hash_of(bytes);
    }
    done(receipt);
  }

  void set_online(bool online) {
    const MutexLock lock(mutex_);
    online_ = online;
  }
  void lose_answers(bool lose) {
    const MutexLock lock(mutex_);
    lose_answers_ = lose;
  }
  void refuse(const object::ChunkId& id, const Error& error) {
    const MutexLock lock(mutex_);
    refusals_.insert_or_assign(id, error);
  }
  void refuse_all(std::optional<Error> error) {
    const MutexLock lock(mutex_);
    all_refused_ = std::move(error);
  }
  /// From now on commits may bring so many bytes of chunks along.
  void carry(std::size_t bytes_max) { carried_bytes_max_ = bytes_max; }
  /// Commits that bring chunks.
  void refuse_carried(std::optional<Error> error) {
    const MutexLock lock(mutex_);
    carry_refusal_ = std::move(error);
  }
  std::size_t carried_count() const {
    const MutexLock lock(mutex_);
    return carried_count_;
  }
  std::size_t put_count() const {
    const MutexLock lock(mutex_);
    return puts_.size();
  }
  void refuse_commits(std::optional<Error> error) {
    const MutexLock lock(mutex_);
    commit_refusal_ = std::move(error);
  }
  unsigned puts_of(const object::ChunkId& id) const {
    const MutexLock lock(mutex_);
    const auto found = puts_.find(id);
    return found == puts_.end() ? 0 : found->second;
  }
  /// have() tells that so many bytes of the chunk are there.
  void received(const object::ChunkId& id, std::uint64_t bytes) {
    const MutexLock lock(mutex_);
    received_[id] = bytes;
  }
  std::uint64_t last_offset_of(const object::ChunkId& id) const {
    const MutexLock lock(mutex_);
    const auto found = last_offset_.find(id);
    return found == last_offset_.end() ? 0 : found->second;
  }
  std::size_t stored_count() const {
    const MutexLock lock(mutex_);
    return stored_.size();
  }
  std::size_t commit_count() const {
    const MutexLock lock(mutex_);
    return commits_.size();
  }
  Bytes first_commit() const {
    const MutexLock lock(mutex_);
    return commits_.empty() ? Bytes() : commits_.front();
  }
  int waiting() const { return waiting_; }
  bool commit_before_chunk() const {
    const MutexLock lock(mutex_);
    return commit_before_chunk_;
  }

 private:
  std::atomic<int> waiting_{0};
  std::atomic<std::size_t> carried_bytes_max_{0};
  mutable Mutex mutex_;
  bool online_ GUARDED_BY(mutex_) = true;
  bool lose_answers_ GUARDED_BY(mutex_) = false;
  std::vector<rpc::Done<rpc::PutChunkDone>> lost_ GUARDED_BY(mutex_);
  bool commit_before_chunk_ GUARDED_BY(mutex_) = false;
  std::set<object::ChunkId> stored_ GUARDED_BY(mutex_);
  std::map<object::ChunkId, unsigned> puts_ GUARDED_BY(mutex_);
  std::map<object::ChunkId, std::uint64_t> received_ GUARDED_BY(mutex_);
  std::map<object::ChunkId, std::uint64_t> last_offset_ GUARDED_BY(mutex_);
  std::map<object::ChunkId, Error> refusals_ GUARDED_BY(mutex_);
  std::optional<Error> all_refused_ GUARDED_BY(mutex_);
  std::optional<Error> commit_refusal_ GUARDED_BY(mutex_);
  std::size_t carried_count_ GUARDED_BY(mutex_) = 0;
  std::optional<Error> carry_refusal_ GUARDED_BY(mutex_);
  std::vector<Bytes> commits_ GUARDED_BY(mutex_);
};

class NoEvents : public meta::TreeEvents {
 public:
  void chunk_dropped(const ChunkRow&) override {}
};

/// A tree and a spool with files in them, and an Uploader that can be started again like a process.
class UploaderTest : public ::testing::Test {
 protected:
  UploaderTest()
      : random_(1),
        key_(keys::VaultKey::generate(random_)),
        sealer_(key_, vault_, random_, *seal::parse_compression("none")) {
    open();
  }
  ~UploaderTest() override { stop(); }

  void open() {
    tree_ = *meta::Tree::open((dir_ / "tree.db").string(), os::real_clock(), events_, disk_);
    spool_ = *spool::Spool::open(
        disk_, (dir_ / "spool").string(), {.settle_tree = [this] { return tree_->power_safe(); }},
        [this](const object::ChunkId& id) -> Result<spool::Standing> {
          COFFER_TRY(const std::optional<ChunkRow> row, tree_->chunk_by_id(id));
          if (!row) return spool::Standing::unknown;
          return row->state == ChunkState::spooled ? spool::Standing::owed : spool::Standing::cached;
        });
  }
  void start() {
    uploader_ = std::make_unique<Uploader>(
        Parts{*tree_, *spool_, sealer_, server_, vault_},
        Hooks{[] { return Result<void>{}; }, [] { return Result<void>{}; }, [this](const Error&) { doubted_ = true; }});
    uploader_->start();
    uploader_->set_epoch(1);
  }
  void stop() {
    if (uploader_) uploader_->stop();
    uploader_.reset();
  }
  void restart_process() {
    stop();
    spool_.reset();
    tree_.reset();
    open();
  }

  struct File {
    InodeId inode;
    std::vector<object::ChunkId> chunks;
  };
  /// A file of `chunk_count` chunks, spooled and recorded as the committer does it.
  File add_file(const std::string& name, unsigned chunk_count) {
    File file = add_sealed_file(name, chunk_count, 100'000);
    if (uploader_) uploader_->wake();
    return file;
  }
  /// The same as fsync(2) does it, before it waits for the server.
  File add_sealed_file(const std::string& name, unsigned chunk_count, std::uint32_t chunk_bytes) {
    meta::NewInode what;
    what.mode = S_IFREG | 0644;
    File file{tree_->create(kRootInode, name, what)->inode, {}};
    meta::Content content;
    for (unsigned i = 0; i < chunk_count; ++i) {
      const Bytes plain = random_.bytes(chunk_bytes);
      const spool::SpooledChunk spooled = *spool_->put(sealer_.seal(plain));
      const ChunkKey key =
          *tree_->add_spooled_chunk(spooled.id(), spooled.sealed_bytes(), spooled.plain_bytes(), Priority::normal);
      content.extents.push_back({FileOffset(content.bytes), chunk_bytes, key, 0, std::nullopt});
      content.bytes += plain.size();
      file.chunks.push_back(spooled.id());
    }
    EXPECT_TRUE(tree_->record(file.inode, content));
    return file;
  }
  /// Starts with a server that takes chunks along with commits; the chunk loop has nothing to do.
  void start_carrying() {
    server_.carry(48u << 10);
    start();
    // As soon as that loop has looked for chunks once, they go along.
    ASSERT_TRUE(testing::eventually([&] {
      const File file = add_sealed_file("first" + std::to_string(server_.commit_count()), 1, 1000);
      EXPECT_TRUE(uploader_->wait_committed(file.inode, in(20s), {}));
      return server_.carried_count() > 0;
    }));
  }
  bool all_committed() { return tree_->owed()->nothing(); }
  static Deadline in(std::chrono::milliseconds time) { return steady_clock::now() + time; }

  testing::TempDir dir_;
  testing::FaultyDisk disk_;
  testing::SeededRandom random_;
  object::VaultId vault_;
  keys::VaultKey key_;
  seal::Sealer sealer_;
  NoEvents events_;
  FakeServer server_;
  std::unique_ptr<meta::Tree> tree_;
  std::unique_ptr<spool::Spool> spool_;
  std::unique_ptr<Uploader> uploader_;
  std::atomic<bool> doubted_{false};
};

}  // namespace coffer::upload
