// Parts of files: holes, zeros, and content that two files share.
#include <algorithm>
#include <cerrno>
#include <span>
#include <utility>

#include "fs/files/state.h"
#include "fs/files/virtual_files.h"

namespace coffer::files {

namespace {

/// Extents may change before they are kept, and a chunk that they named may be gone: then they are asked for again.
constexpr int kStaleRetries = 8;

/// copy_file_range(2) may copy less than it was asked for; this bounds the rows of one transaction.
constexpr std::uint64_t kCopyBytesMax = 1u << 30;

bool is_stale(const Error& error) { return error.fault == Fault::answer && error.code == ESTALE; }

/// The part of `extent` inside [begin, end), `moved_by` further on.
Extent moved(const Extent& extent, std::uint64_t begin, std::uint64_t end, std::uint64_t moved_by) {
  const std::uint64_t from = std::max(extent.at.value(), begin);
  const std::uint64_t to = std::min(extent.end().value(), end);
  return {.at = FileOffset(from + moved_by),
          .bytes = static_cast<std::uint32_t>(to - from),
          .chunk = extent.chunk,
          .chunk_offset = extent.chunk_offset + static_cast<std::uint32_t>(from - extent.at.value()),
          .piece = std::nullopt};
}

/// Bytes that extents about to be recorded name: neither zeroed in an open chunk nor dropped while it lives.
class Kept {
 public:
  Kept(meta::Tree& tree, std::span<const Extent> extents) : tree_(tree), extents_(extents) {
    for (const Extent& extent : extents_) tree_.keep({extent.chunk, extent.chunk_offset, extent.bytes});
  }
  ~Kept() {
    for (const Extent& extent : extents_) tree_.let_go(meta::PieceAt{extent.chunk, extent.chunk_offset, extent.bytes});
  }
  Kept(const Kept&) = delete;
  Kept& operator=(const Kept&) = delete;

  /// record() has used the keeps up.
  void recorded() { extents_ = {}; }

 private:
  meta::Tree& tree_;
  std::span<const Extent> extents_;
};

}  // namespace

Result<void> FileSystem::allocate(HandleId id, Allocate mode, std::uint64_t offset, std::uint64_t bytes) {
  COFFER_TRY(const std::shared_ptr<const Handle> handle, state_->handle(id));
  if (!handle->writes) return answer(EBADF);
  if (bytes == 0) return answer(EINVAL);
  if (offset > limits::kFileBytesMax - bytes) return answer(EFBIG);
  const InodeId inode = handle->inode;
  const std::uint64_t end = offset + bytes;
  const bool adds = mode == Allocate::extend || mode == Allocate::keep_size;
  COFFER_DO(state_->check_change(inode, adds ? 1 : 0));
  if (adds) {
    // What statfs(2) calls free can be asked for: how much its content will take is not known yet.
    COFFER_TRY(const FileSystemTotals room, totals());
    if (bytes > room.free_bytes) return answer(EDQUOT);
  }

  if (mode == Allocate::punch_hole || mode == Allocate::zero_range || mode == Allocate::zero_range_keep_size) {
    COFFER_TRY(const Attributes now, attributes(inode));
    meta::Content zeros;
    zeros.replaced.push_back({offset, end});
    zeros.bytes = now.bytes;  // Buffered bytes in the range go, and may be all that says how long the file is.
    zeros.mtime_ns = now_ns();
    COFFER_DO(state_->committer.record(inode, zeros));
  }
  if (mode == Allocate::extend || mode == Allocate::zero_range) {
    COFFER_TRY(const Attributes now, attributes(inode));
    if (now.bytes < end) {
      meta::AttributeChange longer;
      longer.bytes = end;
      COFFER_DO(state_->committer.change(inode, longer));
    }
  }
  return {};
}

Result<std::uint64_t> FileSystem::seek(HandleId id, Seek what, std::uint64_t offset) {
  constexpr std::uint64_t kWindowBytesMin = 64u << 20;

  COFFER_TRY(const std::shared_ptr<const Handle> handle, state_->handle(id));
  if (is_virtual(handle->inode)) return answer(EINVAL);
  COFFER_DO(state_->committer.flush(handle->inode));
  COFFER_TRY(const Attributes now, attributes(handle->inode));
  if (offset >= now.bytes) return answer(ENXIO);

  // Windows that double: a long file is not read in whole for a near answer, nor in small steps for a far one.
  std::uint64_t at = offset;
  for (std::uint64_t window = kWindowBytesMin; at < now.bytes; window *= 2) {
    const std::uint64_t end = now.bytes - at > window ? at + window : now.bytes;
    COFFER_TRY(const std::vector<Extent> extents, state_->tree.extents(handle->inode, FileOffset(at), FileOffset(end)));
    for (const Extent& extent : extents) {
      if (what == Seek::data) return std::max(at, extent.at.value());
      if (at < extent.at.value()) return at;
      at = extent.end().value();
    }
    if (what == Seek::hole && at < end) return at;
    at = std::max(at, end);
  }
  return what == Seek::hole ? Result<std::uint64_t>(now.bytes) : answer(ENXIO);
}

Result<std::uint64_t> FileSystem::copy_range(HandleId from_id, std::uint64_t from_offset, HandleId to_id,
                                             std::uint64_t to_offset, std::uint64_t bytes) {
  COFFER_TRY(const std::shared_ptr<const Handle> from, state_->handle(from_id));
  COFFER_TRY(const std::shared_ptr<const Handle> to, state_->handle(to_id));
  if (!from->reads || !to->writes) return answer(EBADF);
  if (is_virtual(from->inode) || is_virtual(to->inode)) return answer(EOPNOTSUPP);
  COFFER_DO(state_->committer.flush(from->inode));

  COFFER_TRY(const Attributes source, attributes(from->inode));
  if (from_offset >= source.bytes) return std::uint64_t{0};
  bytes = std::min({bytes, source.bytes - from_offset, kCopyBytesMax});
  if (to_offset > limits::kFileBytesMax - bytes) return answer(EFBIG);
  COFFER_DO(state_->check_change(to->inode, bytes));
  if (bytes == 0) return std::uint64_t{0};

  Result<Mark> recorded = answer(ESTALE);
  for (int tries = 0; tries < kStaleRetries && !recorded && is_stale(recorded.error()); ++tries) {
    COFFER_TRY(const std::vector<Extent> extents,
               state_->tree.extents(from->inode, FileOffset(from_offset), FileOffset(from_offset + bytes)));
    meta::Content content;
    content.replaced.push_back({to_offset, to_offset + bytes});
    for (const Extent& extent : extents) {
      content.extents.push_back(moved(extent, from_offset, from_offset + bytes, to_offset - from_offset));
    }
    content.bytes = to_offset + bytes;
    content.mtime_ns = now_ns();
    Kept kept(state_->tree, content.extents);
    COFFER_TRY(const std::vector<Extent> extents_now,
               state_->tree.extents(from->inode, FileOffset(from_offset), FileOffset(from_offset + bytes)));
    if (extents_now != extents) continue;  // Overwritten before they were kept.
    recorded = state_->committer.record(to->inode, content);
    if (recorded) kept.recorded();
  }
  if (!recorded) return std::move(recorded).error();
  return bytes;
}

}  // namespace coffer::files
