#include "fs/buffer/buffer.h"

#include <algorithm>
#include <cstring>
#include <limits>
#include <utility>

#include "common/base/check.h"

namespace coffer::buffer {
namespace {

constexpr std::uint64_t kAnyVersion = std::numeric_limits<std::uint64_t>::max();

/// The first block that reaches beyond `at`.
template <class Blocks>
auto first_beyond(Blocks& blocks, std::uint64_t at) {
  auto found = blocks.upper_bound(at);
  if (found != blocks.begin()) {
    const auto before = std::prev(found);
    if (before->first + before->second.bytes > at) return before;
  }
  return found;
}

/// Bytes without a gap around `at`, where a block is.
std::uint64_t run_around(const std::map<std::uint64_t, Block>& blocks, std::uint64_t at) {
  const auto middle = first_beyond(blocks, at);
  auto first = middle;
  while (first != blocks.begin()) {
    const auto before = std::prev(first);
    if (before->first + before->second.bytes != first->first) break;
    first = before;
  }
  std::uint64_t end = middle->first + middle->second.bytes;
  for (auto next = std::next(middle); next != blocks.end() && next->first == end; ++next) end += next->second.bytes;
  return end - first->first;
}

}  // namespace

void DirtyRange::copy_to(std::uint64_t offset, MutableByteView into) const {
  COFFER_CHECK(offset >= begin_ && offset + into.size() <= end_);
  for (auto block = first_beyond(blocks_, offset); !into.empty(); ++block) {
    const std::size_t skip = offset - block->first;
    const std::size_t count = std::min(into.size(), block->second.bytes - skip);
    std::memcpy(into.data(), block->second.data() + skip, count);
    into = into.subspan(count);
    offset += count;
  }
}

void DirtyRange::drop_before(std::uint64_t offset) {
  begin_ = std::clamp(offset, begin_, end_);
  blocks_.erase(blocks_.begin(), first_beyond(blocks_, begin_));
}

std::uint64_t DirtyFile::bytes() const {
  std::uint64_t sum = 0;
  for (const DirtyRange& range : ranges) sum += range.bytes();
  return sum;
}

void DirtyFile::drop_before(std::uint64_t offset) {
  std::erase_if(ranges, [offset](const DirtyRange& range) { return range.end() <= offset; });
  if (!ranges.empty()) ranges.front().drop_before(offset);
}

Buffer::Buffer(std::size_t bytes_max) : budget_(std::make_shared<Budget>(bytes_max)) {}

/// Removes the range from all blocks whose version is at most `version_max`.
void Buffer::cut_out(File& file, Range range, std::uint64_t version_max) {
  auto at = first_beyond(file.blocks, range.begin);
  while (at != file.blocks.end() && at->first < range.end) {
    const std::uint64_t begin = at->first;
    const std::uint64_t end = begin + at->second.bytes;
    if (at->second.version > version_max) {
      ++at;
      continue;
    }
    const std::uint64_t cut_begin = std::max(begin, range.begin);
    const std::uint64_t cut_end = std::min(end, range.end);
    file.bytes -= cut_end - cut_begin;
    Block block = std::move(at->second);
    at = file.blocks.erase(at);
    if (cut_end < end) {
      Block behind = block;
      behind.from += cut_end - begin;
      behind.bytes = end - cut_end;
      at = file.blocks.emplace_hint(at, cut_end, std::move(behind));
    }
    if (begin < cut_begin) {
      block.bytes = cut_begin - begin;
      // Nobody else holds what was cut off: the block may grow over it again.
      if (block.version == file.version && block.storage.use_count() == 1) {
        block.storage->filled = block.from + block.bytes;
      }
      file.blocks.emplace(begin, std::move(block));
    }
  }
}

void Buffer::put(File& file, std::uint64_t at, ByteView bytes, const std::shared_ptr<Budget>& budget) {
  const auto inside = first_beyond(file.blocks, at);
  if (inside != file.blocks.end() && inside->first <= at && inside->second.version == file.version &&
      at + bytes.size() <= inside->first + inside->second.bytes) {
    std::memcpy(inside->second.data() + (at - inside->first), bytes.data(), bytes.size());
    return;
  }
  cut_out(file, {at, at + bytes.size()}, kAnyVersion);
  file.bytes += bytes.size();
  while (!bytes.empty()) {
    std::size_t capacity = std::min(bytes.size(), kBlockBytesMax);
    auto before = file.blocks.lower_bound(at);
    if (before != file.blocks.begin() && (--before)->first + before->second.bytes == at) {
      Block& block = before->second;
      if (block.version == file.version && block.can_grow()) {
        const std::size_t count = std::min(bytes.size(), block.storage->capacity() - block.storage->filled);
        std::memcpy(block.storage->data() + block.storage->filled, bytes.data(), count);
        block.storage->filled += count;
        block.bytes += count;
        at += count;
        bytes = bytes.subspan(count);
        continue;
      }
      capacity = std::max(capacity, std::min(2 * block.storage->capacity(), kBlockBytesMax));
    }
    const std::size_t count = std::min(bytes.size(), capacity);
    Block block{std::make_shared<Storage>(capacity, budget), 0, count, file.version};
    std::memcpy(block.storage->data(), bytes.data(), count);
    block.storage->filled = count;
    file.blocks.emplace(at, std::move(block));
    at += count;
    bytes = bytes.subspan(count);
  }
}

Written Buffer::write(InodeId inode, FileOffset at, ByteView bytes, std::optional<std::int64_t> mtime_ns) {
  const MutexLock lock(mutex_);
  if (!budget_->has_room(bytes.size())) return {false, 0};
  auto [found, is_new] = files_.try_emplace(inode);
  File& file = found->second;
  if (is_new) file.version = ++last_version_;
  put(file, at.value(), bytes, budget_);
  if (mtime_ns) file.mtime_ns = mtime_ns;

  return {true, run_around(file.blocks, at.value())};
}

Result<void> Buffer::wait_for_room(std::size_t bytes, os::SteadyTime deadline, const std::stop_token& stop) {
  return budget_->wait_for_room(bytes, deadline, stop);
}

std::vector<Range> Buffer::read(InodeId inode, FileOffset at, MutableByteView into) const {
  std::vector<Range> covered;
  const std::uint64_t begin = at.value();
  const std::uint64_t end = begin + into.size();
  const MutexLock lock(mutex_);
  const auto file = files_.find(inode);
  if (file == files_.end()) return covered;
  const auto& blocks = file->second.blocks;
  for (auto block = first_beyond(blocks, begin); block != blocks.end() && block->first < end; ++block) {
    const std::uint64_t from = std::max(begin, block->first);
    const std::uint64_t to = std::min(end, block->first + block->second.bytes);
    std::memcpy(into.data() + (from - begin), block->second.data() + (from - block->first), to - from);
    if (!covered.empty() && covered.back().end == from) {
      covered.back().end = to;
    } else {
      covered.push_back({from, to});
    }
  }
  return covered;
}

DirtyFile Buffer::snapshot(InodeId inode) {
  DirtyFile dirty{.inode = inode, .version = 0, .ranges = {}, .mtime_ns = {}};
  const MutexLock lock(mutex_);
  const auto found = files_.find(inode);
  if (found == files_.end()) return dirty;
  File& file = found->second;
  dirty.version = file.version;
  dirty.mtime_ns = file.mtime_ns;
  file.version = ++last_version_;
  for (const auto& [at, block] : file.blocks) {
    if (dirty.ranges.empty() || dirty.ranges.back().end_ != at) {
      dirty.ranges.emplace_back();
      dirty.ranges.back().begin_ = at;
    }
    DirtyRange& range = dirty.ranges.back();
    range.blocks_.emplace_hint(range.blocks_.end(), at, block);
    range.end_ = at + block.bytes;
  }
  return dirty;
}

void Buffer::forget(InodeId inode, std::uint64_t version, Range range) {
  const MutexLock lock(mutex_);
  const auto found = files_.find(inode);
  if (found == files_.end()) return;
  cut_out(found->second, range, version);
  drop_if_empty(inode);
}

void Buffer::truncate(InodeId inode, std::uint64_t bytes) { punch(inode, {bytes, kAnyVersion}); }

void Buffer::punch(InodeId inode, Range range) {
  const MutexLock lock(mutex_);
  const auto found = files_.find(inode);
  if (found == files_.end()) return;
  cut_out(found->second, range, kAnyVersion);
  drop_if_empty(inode);
}

void Buffer::discard(InodeId inode) {
  const MutexLock lock(mutex_);
  files_.erase(inode);
}

void Buffer::drop_if_empty(InodeId inode) {
  const auto found = files_.find(inode);
  if (found != files_.end() && found->second.blocks.empty()) files_.erase(found);
}

Summary Buffer::summary(InodeId inode) const {
  const MutexLock lock(mutex_);
  const auto found = files_.find(inode);
  if (found == files_.end()) return {};
  const File& file = found->second;
  const auto& [at, last] = *file.blocks.rbegin();
  return {.end = at + last.bytes, .bytes = file.bytes, .mtime_ns = file.mtime_ns};
}

void Buffer::forget_mtime(InodeId inode) {
  const MutexLock lock(mutex_);
  const auto found = files_.find(inode);
  if (found != files_.end()) found->second.mtime_ns.reset();
}

std::vector<InodeId> Buffer::inodes() const {
  std::vector<InodeId> all;
  const MutexLock lock(mutex_);
  for (const auto& [inode, file] : files_) all.push_back(inode);
  return all;
}

std::optional<InodeId> Buffer::largest() const {
  std::optional<InodeId> found;
  std::uint64_t most = 0;
  const MutexLock lock(mutex_);
  for (const auto& [inode, file] : files_) {
    if (file.bytes > most) {
      found = inode;
      most = file.bytes;
    }
  }
  return found;
}

}  // namespace coffer::buffer
