#include "server/store/pack_chunk_store.h"

#include <cerrno>
#include <utility>

#include "common/base/log.h"

namespace coffer::store {
namespace {

/// Bytes of one group: what a slow disk writes in about a second, so that nobody waits much longer for the sync.
constexpr std::uint64_t kGroupBytesMax = 32u << 20;
/// Of the disk, for all that is no chunk.
constexpr std::uint64_t kSparedBytes = 64u << 20;

Error failed() {
  return {Fault::local_io, EIO, "the server's disk failed; it stores nothing until it is started again"};
}

}  // namespace

PackChunkStore::PackChunkStore(std::unique_ptr<pack::PackStore> packs, os::Disk& disk, std::string folder,
                               WriterPool& writers)
    : packs_(std::move(packs)), disk_(disk), folder_(std::move(folder)), writers_(writers) {}

Result<std::shared_ptr<PackChunkStore>> PackChunkStore::open(os::Disk& disk, const std::string& folder,
                                                             const pack::PackOptions& options, WriterPool& writers) {
  // A server that was killed may have left bytes that the kernel alone has: the packs' open() syncs what it finds.
  COFFER_TRY(auto packs, pack::PackStore::open(disk, folder, options));
  return std::shared_ptr<PackChunkStore>(new PackChunkStore(std::move(packs), disk, folder, writers));
}

void PackChunkStore::put(const object::ChunkId& id, std::shared_ptr<const Bytes> sealed, Done done, Caller caller) {
  const Result<Held> held = find(id);
  if (!held) return done(Error(held.error()));
  if (held->stored) return done(PutDone{.was_stored = true});
  if (Result<void> queued = enqueue(id, std::move(sealed), done, caller); !queued) done(std::move(queued).error());
}

Result<void> PackChunkStore::enqueue(const object::ChunkId& id, std::shared_ptr<const Bytes> sealed, Done& done,
                                     Caller caller) {
  {
    const MutexLock lock(mutex_);
    if (closed_) return Error{Fault::stopped, 0, "the server is stopping"};
    if (failed_) return failed();
    queued_bytes_ += sealed->size();
    ++queued_count_;
    queue_.push_back({.id = id, .sealed = std::move(sealed), .done = std::move(done)});
    if (std::exchange(writing_, true)) return {};
  }
  if (caller == Caller::goes_on && writers_.run_if_idle([self = shared_from_this()] { self->write_group(); }))
    return {};
  // Here, and not on another thread that would first have to wake: somebody may wait for this one.
  write_group();
  return {};
}

void PackChunkStore::write_group() {
  std::vector<Put> group = take_group();
  if (has_failed()) {
    for (Put& put : group) put.outcome = failed();
  } else if (const Result<void> room = check_room(group); !room) {
    for (Put& put : group) put.outcome = Error(room.error());
  } else {
    append_all(group);
    sync_all(group);
  }
  answer_all(group);
  {
    const MutexLock lock(mutex_);
    if (queue_.empty()) {
      writing_ = false;
      idle_.notify_all();
      return;
    }
  }
  // By way of the pool's queue, so that whoever put the first one goes on, and other vaults get their turn.
  writers_.run([self = shared_from_this()] { self->write_group(); });
}

/// Chunks are refused before the disk is full to the last byte: commits, leases and indexes still need some of it, and
/// half a group would be written in vain.
Result<void> PackChunkStore::check_room(const std::vector<Put>& group) const {
  std::uint64_t needed = kSparedBytes;
  for (const Put& put : group) needed += put.sealed->size();
  const Result<std::uint64_t> free = disk_.free_bytes(folder_);
  if (!free || *free >= needed) return {};
  return Error{Fault::full, ENOSPC, "the disk is full; no chunks are stored until there is room on it again"};
}

std::vector<PackChunkStore::Put> PackChunkStore::take_group() {
  const MutexLock lock(mutex_);
  std::vector<Put> group;
  std::uint64_t bytes = 0;
  while (!queue_.empty() && bytes < kGroupBytesMax) {
    bytes += queue_.front().sealed->size();
    group.push_back(std::move(queue_.front()));
    queue_.pop_front();
  }
  return group;
}

void PackChunkStore::append_all(std::vector<Put>& group) {
  for (Put& put : group) {
    const auto before = packs_->find(put.id);
    if (!before) {
      put.outcome = Error(before.error());
      continue;
    }
    put.outcome = PutDone{.was_stored = before->has_value()};
    if (!before->has_value()) {
      // Here, and not when it is queued: the same chunk may be queued twice, and stored by the time of the second.
      const MutexLock lock(mutex_);
      unsettled_.insert(put.id);
    }
    if (auto appended = packs_->append(put.id, *put.sealed); !appended) put.outcome = std::move(appended).error();
  }
}

void PackChunkStore::sync_all(std::vector<Put>& group) {
  const Result<void> synced = packs_->sync();
  if (synced) return;
  log::error("store sync failed", {{"what", synced.error().what}});
  if (packs_->is_broken()) {
    const MutexLock lock(mutex_);
    failed_ = true;
  }
  for (Put& put : group) put.outcome = Error(synced.error());
}

void PackChunkStore::answer_all(std::vector<Put>& group) {
  {
    const MutexLock lock(mutex_);
    for (const Put& put : group) queued_bytes_ -= put.sealed->size();
    queued_count_ -= group.size();
    if (!failed_) unsettled_.clear();
  }
  for (Put& put : group) put.done(std::move(put.outcome));
}

bool PackChunkStore::has_failed() const {
  const MutexLock lock(mutex_);
  return failed_;
}

}  // namespace coffer::store
