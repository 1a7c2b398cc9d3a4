#include "fs/commit/open_chunks.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <span>
#include <utility>

#include "common/base/check.h"
#include "common/base/limits.h"
#include "common/base/log.h"

namespace coffer::commit {
namespace {

/// So many closed chunks may wait for the thread that seals; then who appends seals first.
constexpr std::size_t kClosedChunksMax = 4;

/// `plain` with zeros where nothing is live: what was overwritten or deleted in time is not sent.
Bytes only_live(ByteView plain, const std::vector<Range>& live) {
  Bytes bytes(plain.size());
  std::size_t at = 0;
  for (const Range& range : live) {
    const std::size_t begin = std::min<std::size_t>(range.begin, plain.size());
    const std::size_t end = std::min<std::size_t>(range.end, plain.size());
    std::memset(bytes.data() + at, 0, begin - at);
    std::memcpy(bytes.data() + begin, plain.data() + begin, end - begin);
    at = end;
  }
  std::memset(bytes.data() + at, 0, plain.size() - at);
  return bytes;
}

}  // namespace

OpenChunks::OpenChunks(const Parts& parts, std::chrono::milliseconds delay, std::function<void()> on_due)
    : parts_(parts), delay_(delay), on_due_(std::move(on_due)) {}

Result<std::vector<ChunkRow>> OpenChunks::recover() {
  std::vector<ChunkRow> damaged;
  COFFER_TRY(const std::vector<ChunkRow> rows, parts_.tree.open_chunks());
  for (const ChunkRow& row : rows) {
    COFFER_TRY(const std::vector<Range> live, parts_.tree.live_ranges(row.key));
    auto chunk = std::make_shared<Chunk>();
    chunk->key = row.key;
    chunk->is_closed = true;
    chunk->due = parts_.clock.steady();
    auto staged = parts_.staging.read(row.key);
    if (staged) {
      chunk->plain = std::move(staged->plain);
    } else if (staged.error().fault != Fault::corrupt && staged.error().code != ENOENT) {
      return std::move(staged).error();
    }
    if (!live.empty() && live.back().end > chunk->plain.size()) {
      chunk->is_damaged = true;
      COFFER_DO(parts_.tree.forget_pieces(std::span(&row.key, 1)));
      damaged.push_back(row);
      log::error("staged bytes lost", {{"chunk", row.key.value()}, {"staged_bytes", chunk->plain.size()}});
    }
    const MutexLock lock(mutex_);
    chunks_.emplace(row.key, std::move(chunk));
  }
  COFFER_TRY(const std::vector<ChunkKey> files, parts_.staging.chunks());
  for (const ChunkKey key : files) {
    const bool is_open = std::any_of(rows.begin(), rows.end(), [key](const ChunkRow& row) { return row.key == key; });
    if (!is_open) COFFER_DO(parts_.staging.remove(key));
  }
  return damaged;
}

Result<void> OpenChunks::start_new() {
  COFFER_TRY(const ChunkKey key, parts_.tree.add_open_chunk());
  current_ = std::make_shared<Chunk>();
  current_->key = key;
  current_->due = parts_.clock.steady() + delay_;
  const MutexLock lock(mutex_);
  chunks_.emplace(key, current_);
  return {};
}

Result<meta::PieceAt> OpenChunks::append(ByteView plain, std::span<const Range> pieces) {
  COFFER_CHECK(!plain.empty() && plain.size() < limits::kChunkPlainBytesTarget);
  std::size_t closed_count = 0;
  {
    const MutexLock lock(mutex_);
    for (const auto& [key, chunk] : chunks_) closed_count += chunk->is_closed && !chunk->is_damaged ? 1 : 0;
  }
  if (closed_count > kClosedChunksMax) {
    COFFER_DO(seal_where([](const Chunk& chunk) { return chunk.is_closed; }));
  }

  meta::PieceAt at;
  bool is_due_sooner = false;
  {
    const MutexLock appending(appending_);
    if (current_ == nullptr) {
      COFFER_DO(start_new());
      is_due_sooner = true;
    }
    at = {current_->key, static_cast<std::uint32_t>(current_->plain.size()), static_cast<std::uint32_t>(plain.size())};
    auto staged = parts_.staging.append(at.chunk, at.chunk_offset, plain);
    {
      const MutexLock lock(mutex_);
      if (staged) coffer::append(current_->plain, plain);
      if (!staged || current_->plain.size() >= limits::kChunkPlainBytesTarget) {
        current_->is_closed = true;  // A staging file that failed takes no more.
        current_->due = parts_.clock.steady();
        is_due_sooner = true;
      }
    }
    if (staged) {
      for (const Range& piece : pieces) {
        parts_.tree.keep({at.chunk, static_cast<std::uint32_t>(at.chunk_offset + piece.begin),
                          static_cast<std::uint32_t>(piece.bytes())});
      }
    }
    if (current_->is_closed) current_.reset();
    if (!staged) return std::move(staged).error();
  }
  if (is_due_sooner) on_due_();
  return at;
}

Result<bool> OpenChunks::read(ChunkKey chunk, std::uint32_t offset, MutableByteView into) const {
  const MutexLock lock(mutex_);
  const auto found = chunks_.find(chunk);
  if (found == chunks_.end()) return false;
  const Bytes& plain = found->second->plain;
  if (offset > plain.size() || into.size() > plain.size() - offset) {
    return Error{Fault::corrupt, 0, "bytes of an open chunk are lost"};
  }
  if (!into.empty()) std::memcpy(into.data(), plain.data() + offset, into.size());
  return true;
}

bool OpenChunks::is_empty() const {
  const MutexLock lock(mutex_);
  return chunks_.empty();
}

Result<bool> OpenChunks::seal_all() {
  return seal_where([](const Chunk&) { return true; });
}

Result<bool> OpenChunks::seal_due() {
  const os::SteadyTime now = parts_.clock.steady();
  return seal_where([now](const Chunk& chunk) { return chunk.due <= now; });
}

std::vector<std::shared_ptr<OpenChunks::Chunk>> OpenChunks::close_where(
    const std::function<bool(const Chunk&)>& wanted) {
  const MutexLock appending(appending_);
  const MutexLock lock(mutex_);
  std::vector<std::shared_ptr<Chunk>> closed;
  for (const auto& [key, chunk] : chunks_) {
    if (chunk->is_damaged || !wanted(*chunk)) continue;
    chunk->is_closed = true;
    if (chunk == current_) current_.reset();
    closed.push_back(chunk);
  }
  return closed;
}

Result<bool> OpenChunks::seal_where(const std::function<bool(const Chunk&)>& wanted) {
  const MutexLock sealing(sealing_);
  Result<void> first_failure;
  const std::vector<std::shared_ptr<Chunk>> closed = close_where(wanted);
  for (const std::shared_ptr<Chunk>& chunk : closed) {
    auto sealed = seal(*chunk);
    if (sealed) continue;
    {
      const MutexLock lock(mutex_);
      chunk->due = parts_.clock.steady() + delay_;
    }
    if (first_failure) first_failure = std::move(sealed);
  }
  if (!first_failure) return std::move(first_failure).error();
  return !closed.empty();
}

/// `chunk` is closed: its bytes no longer change, and are read without the lock.
Result<void> OpenChunks::seal(const Chunk& chunk) {
  COFFER_TRY(const std::vector<Range> live, parts_.tree.live_ranges(chunk.key));
  if (live.empty() || chunk.plain.empty()) return drop(chunk);
  const seal::SealedChunk sealed = parts_.sealer.seal(only_live(chunk.plain, live));
  COFFER_TRY(const spool::SpooledChunk spooled, parts_.spool.put(sealed));
  auto recorded = parts_.tree.chunk_sealed(chunk.key, spooled.id(), spooled.sealed_bytes(), spooled.plain_bytes());
  if (!recorded) {
    if (auto dropped = parts_.spool.drop(spooled.id()); !dropped) {
      log::warn("spool drop failed", {{"error", dropped.error().what}});
    }
    return recorded;
  }
  forget(chunk.key);
  return parts_.staging.remove(chunk.key);
}

Result<void> OpenChunks::drop(const Chunk& chunk) {
  parts_.tree.let_go(chunk.key);
  forget(chunk.key);
  return parts_.staging.remove(chunk.key);
}

void OpenChunks::forget(ChunkKey chunk) {
  const MutexLock lock(mutex_);
  chunks_.erase(chunk);
}

std::optional<os::SteadyTime> OpenChunks::next_due() const {
  std::optional<os::SteadyTime> next;
  const MutexLock lock(mutex_);
  for (const auto& [key, chunk] : chunks_) {
    if (!chunk->is_damaged && (!next || chunk->due < *next)) next = chunk->due;
  }
  return next;
}

std::uint64_t OpenChunks::open_bytes() const {
  std::uint64_t sum = 0;
  const MutexLock lock(mutex_);
  for (const auto& [key, chunk] : chunks_) sum += chunk->plain.size();
  return sum;
}

}  // namespace coffer::commit
