#include "fs/commit/range_cutter.h"

#include <algorithm>
#include <utility>

namespace coffer::commit {
namespace {

/// What a cut leaves of a window is copied again into the next one: at most a quarter.
constexpr std::size_t kWindowBytes = 4 * limits::kPieceBytesMax;

}  // namespace

std::unique_ptr<chunk::Chunker> RangeCutter::borrow() {
  {
    const MutexLock lock(mutex_);
    if (!idle_.empty()) {
      auto chunker = std::move(idle_.back());
      idle_.pop_back();
      return chunker;
    }
  }
  return std::make_unique<chunk::Chunker>(chunker_key_);
}

void RangeCutter::give_back(std::unique_ptr<chunk::Chunker> chunker) {
  const MutexLock lock(mutex_);
  idle_.push_back(std::move(chunker));
}

Result<bool> RangeCutter::cut(const buffer::DirtyRange& range, std::uint64_t from, bool to_the_end, const Take& take) {
  std::unique_ptr<chunk::Chunker> chunker = borrow();
  Result<bool> goes_on = true;
  Bytes window(std::min<std::uint64_t>(range.end() - from, kWindowBytes));
  ByteView rest;
  std::uint64_t at = from;
  while (at < range.end() && goes_on && *goes_on) {
    // With kPieceBytesMax bytes in view a cut is always certain, wherever the window ends.
    if (rest.size() < limits::kPieceBytesMax && at + rest.size() < range.end()) {
      const MutableByteView into =
          MutableByteView(window).first(std::min<std::uint64_t>(range.end() - at, window.size()));
      range.copy_to(at, into);
      rest = into;
    }
    const std::size_t piece_bytes = chunker->cut(rest, to_the_end && at + rest.size() == range.end());
    if (piece_bytes == 0) break;
    goes_on = take(FileOffset(at), rest.first(piece_bytes));
    at += piece_bytes;
    rest = rest.subspan(piece_bytes);
  }
  give_back(std::move(chunker));
  if (!goes_on) return goes_on;
  return !*goes_on && at < range.end();
}

std::optional<std::uint64_t> RangeCutter::first_certain_cut(const buffer::DirtyRange& range) {
  if (range.bytes() < limits::kPieceBytesMin) return std::nullopt;
  Bytes window(std::min<std::uint64_t>(range.bytes(), kSeekBytesMax));
  range.copy_to(range.begin(), window);
  std::unique_ptr<chunk::Chunker> chunker = borrow();
  const std::size_t skipped = chunker->synchronize(window);
  give_back(std::move(chunker));
  if (skipped == 0 && window.size() < kSeekBytesMax) return std::nullopt;
  return range.begin() + skipped;
}

}  // namespace coffer::commit
