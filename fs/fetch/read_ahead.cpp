#include "fs/fetch/read_ahead.h"

#include <algorithm>

namespace coffer::fetch {
namespace {

/// The kernel reads ahead itself, in several threads: neighbouring reads come in any order.
constexpr std::uint64_t kDisorderBytes = 1u << 20;
constexpr std::uint64_t kWindowBytesMin = 1u << 20;
constexpr std::size_t kFileWalksMax = 256;

constexpr std::size_t kChunkWalksMax = 8;
/// Chunks of other files, or such as no file needs any more, lie between.
constexpr std::int64_t kChunkGapMax = 3;
constexpr std::int64_t kChunkWindowMin = 4;
constexpr std::int64_t kChunkWindowMax = 24;

}  // namespace

std::optional<Range> FileWalks::was_read(InodeId inode, std::uint64_t at, std::uint64_t bytes) {
  if (bytes_max_ == 0) return std::nullopt;
  const MutexLock lock(mutex_);
  auto [found, is_new] = walks_.try_emplace(inode);
  Walk& walk = found->second;
  if (is_new) {
    last_used_.push_front(inode);
    walk.place = last_used_.begin();
    if (walks_.size() > kFileWalksMax) {
      walks_.erase(last_used_.back());
      last_used_.pop_back();
    }
  } else {
    last_used_.splice(last_used_.begin(), last_used_, walk.place);
  }
  const std::uint64_t end = at + bytes;
  if (at > walk.next + kDisorderBytes || end + kDisorderBytes < walk.next) {
    walk.next = walk.asked = end;
    walk.window = 0;
    return std::nullopt;
  }
  walk.next = std::max(walk.next, end);
  walk.asked = std::max(walk.asked, walk.next);
  if (walk.asked - walk.next > walk.window / 2) return std::nullopt;
  walk.window = std::min(bytes_max_, std::max(kWindowBytesMin, 2 * walk.window));
  const Range ahead{walk.asked, walk.next + walk.window};
  if (ahead.end <= ahead.begin) return std::nullopt;
  walk.asked = ahead.end;
  return ahead;
}

void FileWalks::asked_until(InodeId inode, std::uint64_t until) {
  const MutexLock lock(mutex_);
  const auto found = walks_.find(inode);
  if (found != walks_.end()) found->second.asked = std::min(found->second.asked, until);
}

std::vector<ChunkKey> ChunkWalks::was_read(ChunkKey chunk, bool was_away) {
  const std::int64_t key = chunk.value();
  const MutexLock lock(mutex_);
  auto walk = std::find_if(walks_.begin(), walks_.end(), [key](const Walk& its) {
    return key >= its.last && key <= std::max(its.last + kChunkGapMax, its.asked);
  });
  if (walk == walks_.end()) {
    if (!was_away) return {};
    walks_.push_front({key, key, 0});
    if (walks_.size() > kChunkWalksMax) walks_.pop_back();
    return {};
  }
  walks_.splice(walks_.begin(), walks_, walk);
  if (key == walk->last) return {};
  walk->last = key;
  walk->asked = std::max(walk->asked, key);
  if (walk->asked - key > walk->window / 2) return {};
  walk->window = std::min(kChunkWindowMax, std::max(kChunkWindowMin, 2 * walk->window));
  std::vector<ChunkKey> ahead;
  for (; walk->asked < key + walk->window; ++walk->asked) ahead.emplace_back(walk->asked + 1);
  return ahead;
}

void ChunkWalks::not_asked(ChunkKey first) {
  const MutexLock lock(mutex_);
  for (Walk& walk : walks_) {
    if (walk.last < first.value() && first.value() <= walk.asked) walk.asked = first.value() - 1;
  }
}

}  // namespace coffer::fetch
