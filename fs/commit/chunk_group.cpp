#include "fs/commit/chunk_group.h"

#include <utility>

#include "common/base/check.h"
#include "common/os/long_wait.h"

namespace coffer::commit {

std::size_t ChunkGroup::add() {
  const MutexLock lock(mutex_);
  COFFER_CHECK(!is_closed_ && chunks_.size() < kChunksMax);
  chunks_.emplace_back();
  return chunks_.size() - 1;
}

void ChunkGroup::seal(std::size_t index, ByteView plain) {
  seal::UnnamedChunk sealed = sealer_.seal_unnamed(plain);
  {
    const MutexLock lock(mutex_);
    chunks_[index].sealed.emplace(std::move(sealed));
    ++sealed_count_;
    if (!is_closed_ || sealed_count_ < chunks_.size()) return;
  }
  spool_all();
}

void ChunkGroup::close() {
  {
    const MutexLock lock(mutex_);
    if (std::exchange(is_closed_, true) || sealed_count_ < chunks_.size()) return;
  }
  spool_all();
}

/// Called once: all chunks are sealed, and none will come.
void ChunkGroup::spool_all() {
  std::vector<seal::UnnamedChunk> sealed;
  {
    const MutexLock lock(mutex_);
    for (Chunk& chunk : chunks_) sealed.push_back(*std::exchange(chunk.sealed, std::nullopt));
  }
  std::vector<Result<spool::SpooledChunk>> outcomes;
  for (const seal::SealedChunk& chunk : seal::Sealer::name(sealed)) outcomes.push_back(spool_.put(chunk));
  const MutexLock lock(mutex_);
  for (std::size_t i = 0; i < outcomes.size(); ++i) chunks_[i].outcome.emplace(std::move(outcomes[i]));
  is_done_ = true;
  done_.notify_all();
}

const Result<spool::SpooledChunk>& ChunkGroup::wait(std::size_t index) {
  const MutexLock lock(mutex_);
  while (!is_done_) {
    os::begin_long_wait();
    done_.wait(mutex_);
  }
  return *chunks_[index].outcome;
}

}  // namespace coffer::commit
