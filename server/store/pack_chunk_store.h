// The chunks of one vault in packs on the local disk, written with group commit.
//
// Chunks that wait are appended together, and one sync covers them all; each put() is answered after it. While
// that sync runs the next group gathers, so the more there is to do the fewer syncs a chunk costs.
#pragma once

#include <deque>
#include <unordered_set>

#include "common/base/mutex.h"
#include "common/pack/pack_store.h"
#include "server/store/chunk_store.h"
#include "server/store/writer_pool.h"

namespace coffer::store {

class PackChunkStore : public ChunkStore, public std::enable_shared_from_this<PackChunkStore> {
 public:
  /// Opens or makes the packs in `folder`; what it finds there is on stable storage afterwards. Keeps a reference to
  /// `writers`.
  static Result<std::shared_ptr<PackChunkStore>> open(os::Disk& disk, const std::string& folder,
                                                      const pack::PackOptions& options, WriterPool& writers);

  void put(const object::ChunkId& id, std::shared_ptr<const Bytes> sealed, Done done,
           Caller caller = Caller::waits) override;
  std::uint64_t queued_bytes() const override;
  Result<Held> find(const object::ChunkId& id) override;
  Result<Bytes> read_range(const object::ChunkId& id, std::uint64_t offset, std::uint64_t bytes) override;
  Result<pack::Soundness> examine(const object::ChunkId& id) override;
  Result<std::vector<pack::StoredChunk>> chunks_from(pack::Place& from, std::size_t count_max) override;
  std::uint64_t used_bytes() const override;
  void close() override;

 private:
  struct Put {
    object::ChunkId id;
    std::shared_ptr<const Bytes> sealed;
    Done done;
    Result<PutDone> outcome = PutDone{};
  };

  PackChunkStore(std::unique_ptr<pack::PackStore> packs, os::Disk& disk, std::string folder, WriterPool& writers);

  /// After an Error `done` is still the caller's.
  Result<void> enqueue(const object::ChunkId& id, std::shared_ptr<const Bytes> sealed, Done& done, Caller caller);
  void write_group();
  Result<void> check_room(const std::vector<Put>& group) const;
  std::vector<Put> take_group();
  void append_all(std::vector<Put>& group);
  void sync_all(std::vector<Put>& group);
  void answer_all(std::vector<Put>& group);
  bool has_failed() const;

  const std::unique_ptr<pack::PackStore> packs_;
  os::Disk& disk_;
  const std::string folder_;
  WriterPool& writers_;

  mutable Mutex mutex_;
  Condition idle_;
  std::deque<Put> queue_ GUARDED_BY(mutex_);
  /// Chunks that write_group() has appended, or is about to, and that are not known to be on stable storage: to
  /// everyone else they are not here.
  std::unordered_set<object::ChunkId> unsettled_ GUARDED_BY(mutex_);
  std::uint64_t queued_bytes_ GUARDED_BY(mutex_) = 0;
  std::uint64_t queued_count_ GUARDED_BY(mutex_) = 0;
  bool writing_ GUARDED_BY(mutex_) = false;  ///< write_group() runs or is about to: at most one at a time.
  bool closed_ GUARDED_BY(mutex_) = false;
  /// After a failed sync nobody knows what the disk has, and asking again proves nothing: the store takes no more.
  bool failed_ GUARDED_BY(mutex_) = false;
};

}  // namespace coffer::store
