// The reading side of PackChunkStore, and its end.
#include <cerrno>

#include "server/store/pack_chunk_store.h"

namespace coffer::store {

std::uint64_t PackChunkStore::queued_bytes() const {
  const MutexLock lock(mutex_);
  return queued_bytes_;
}

std::uint64_t PackChunkStore::used_bytes() const {
  const std::uint64_t stored = object::counted_chunk_bytes(packs_->stored_bytes(), packs_->chunk_count());
  const MutexLock lock(mutex_);
  return stored + object::counted_chunk_bytes(queued_bytes_, queued_count_);
}

Result<Held> PackChunkStore::find(const object::ChunkId& id) {
  // In this order: what the packs have and put() is no longer at work on was synced, by write_group() or by open().
  COFFER_TRY(const auto found, packs_->find(id));
  if (!found) return Held{};
  const MutexLock lock(mutex_);
  if (unsettled_.contains(id)) return Held{};
  return Held{.received = *found, .stored = true};
}

Result<Bytes> PackChunkStore::read_range(const object::ChunkId& id, std::uint64_t offset, std::uint64_t bytes) {
  COFFER_TRY(const Held held, find(id));
  if (!held.stored) return answer(ENOENT);
  if (offset > held.received || bytes > held.received - offset)
    return Error{Fault::refused, EINVAL, "the range is not within the chunk"};
  return packs_->read_range(id, static_cast<std::uint32_t>(offset), static_cast<std::uint32_t>(bytes));
}

Result<pack::Soundness> PackChunkStore::examine(const object::ChunkId& id) {
  {
    const MutexLock lock(mutex_);
    if (unsettled_.contains(id)) return pack::Soundness::absent;
  }
  return packs_->examine(id);
}

Result<std::vector<pack::StoredChunk>> PackChunkStore::chunks_from(pack::Place& from, std::size_t count_max) {
  return packs_->chunks_from(from, count_max);
}

void PackChunkStore::close() {
  const MutexLock lock(mutex_);
  closed_ = true;
  while (writing_) idle_.wait(mutex_);
}

}  // namespace coffer::store
