#include "fs/commit/range_cutter.h"

#include <algorithm>
#include <utility>

namespace coffer::commit {
namespace {

/// Some thirty pieces, so that their names are made side by side. What no piece of a window ends behind is copied again
/// into the next one: at most an eighth.
constexpr std::size_t kWindowBytes = 8 * limits::kPieceBytesMax;

/// With kPieceBytesMax bytes in view a cut is always certain, so a window that is full has one.
std::vector<Piece> pieces_of(chunk::Chunker& chunker, FileOffset at, ByteView window, bool is_last) {
  std::vector<Piece> pieces;
  while (const std::size_t piece_bytes = chunker.cut(window, is_last)) {
    pieces.push_back({at, window.first(piece_bytes)});
    at = FileOffset(at.value() + piece_bytes);
    window = window.subspan(piece_bytes);
  }
  return pieces;
}

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
  std::uint64_t at = from;
  while (at < range.end() && goes_on && *goes_on) {
    const MutableByteView into =
        MutableByteView(window).first(std::min<std::uint64_t>(range.end() - at, window.size()));
    range.copy_to(at, into);
    const bool is_last = to_the_end && at + into.size() == range.end();
    const std::vector<Piece> pieces = pieces_of(*chunker, FileOffset(at), into, is_last);
    if (pieces.empty()) break;
    goes_on = take(pieces);
    at = pieces.back().at.value() + pieces.back().bytes.size();
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
