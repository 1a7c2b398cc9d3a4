// Inodes and their content, oldest first.
#include <algorithm>

#include "fs/meta/draft.h"
#include "fs/meta/read.h"

namespace coffer::meta {
namespace {

constexpr std::size_t kInodesMax = 4000;
constexpr std::size_t kInodesBytesMax = 2u << 20;
/// Encoded chunks are 32 bytes of id, two sizes and tags.
constexpr std::size_t kChunkRecordBytes = 48;
constexpr std::size_t kChunksMax = 8000;
/// Held inodes that are passed over before the search ends.
constexpr std::size_t kExaminedMax = 20'000;
/// The longest encoding of an Extent.
constexpr std::size_t kExtentRecordBytes = 64;

}  // namespace

Result<void> Drafting::pick_inodes() {
  std::vector<InodeId> ready;
  {
    Rows rows = connection_.query(
        "SELECT ino FROM owed_inode WHERE (unstored > 0) + 2 * deleted = 0 ORDER BY first LIMIT ?", kExaminedMax);
    while (ready.size() < kInodesMax) {
      COFFER_TRY(const bool found, rows.step());
      if (!found) break;
      const InodeId inode(rows.u64(0));
      if (!store_.held_.contains(inode)) ready.push_back(inode);
    }
  }
  for (const InodeId inode : ready) {
    COFFER_TRY(const bool has_room, add_inode(inode));
    if (!has_room) break;
  }
  return {};
}

Result<bool> Drafting::add_inode(InodeId inode) {
  COFFER_TRY(const Attributes row, read::attributes(connection_, inode));
  ops::Inode record;
  record.set_inode(inode.value());
  record.set_mode(row.mode);
  record.set_uid(row.uid);
  record.set_gid(row.gid);
  record.set_rdev(row.rdev);
  record.set_bytes(row.bytes);
  record.set_atime_ns(row.atime_ns);
  record.set_mtime_ns(row.mtime_ns);
  record.set_ctime_ns(row.ctime_ns);
  record.set_btime_ns(row.btime_ns);
  if ((row.mode & 0170000) == 0120000) {
    COFFER_TRY(*record.mutable_symlink_target(), read::symlink_target(connection_, inode));
  }
  if (!connection_.inodes().has_no_xattrs(inode)) COFFER_DO(add_xattrs(inode, record));

  PickedInode picked{.inode = inode, .ranges = {}};
  const std::size_t chunk_count = chunks_.size();
  COFFER_TRY(picked.is_whole, fill_content(picked, row.bytes, record));
  const std::size_t bytes = record.ByteSizeLong() + 8;
  const bool fits = picked.is_whole && message_bytes_ + bytes <= kInodesBytesMax;
  if (!fits && !inodes_.empty()) {
    forget_chunks_after(chunk_count);
    return false;
  }
  message_bytes_ += bytes + (chunks_.size() - chunk_count) * kChunkRecordBytes;
  *message_.add_inodes() = std::move(record);
  if (picked.is_whole) whole_.insert(inode);
  const bool is_whole = picked.is_whole;
  inodes_.push_back(std::move(picked));
  return is_whole;
}

Result<void> Drafting::add_xattrs(InodeId inode, ops::Inode& record) {
  return for_each(connection_.query("SELECT name, value FROM xattr WHERE ino = ? ORDER BY name", inode),
                  [&](const Rows& xattr) {
                    ops::Xattr& to = *record.add_xattrs();
                    to.set_name(xattr.text(0));
                    to.set_value(xattr.text(1));
                  });
}

Result<bool> Drafting::fill_content(PickedInode& picked, std::uint64_t bytes, ops::Inode& record) {
  std::vector<Range> owed;
  COFFER_DO(for_each(
      connection_.query("SELECT begin, end FROM owed_range WHERE ino = ? AND flight = 0 ORDER BY begin", picked.inode),
      [&](const Rows& row) {
        owed.push_back({row.u64(0), row.u64(1)});
      }));
  const std::size_t room = kInodesBytesMax - std::min(message_bytes_ + record.ByteSizeLong(), kInodesBytesMax);
  std::size_t used = 0;
  for (const Range& range : owed) {
    const Range sent{range.begin, std::min(range.end, bytes)};
    picked.ranges.push_back(range);
    if (sent.begin >= sent.end) continue;  // `bytes` says that nothing is there any more.
    ops::ContentRange& content = *record.add_content();
    content.set_begin(sent.begin);
    content.set_end(sent.end);
    used += kExtentRecordBytes;
    std::uint64_t end = sent.begin;
    COFFER_TRY(const std::vector<Extent> extents,
               read::extents(connection_, picked.inode, FileOffset(sent.begin), FileOffset(sent.end)));
    for (const Extent& extent : extents) {
      used += kExtentRecordBytes;
      if (used + kChunkRecordBytes > room || chunks_.size() >= kChunksMax) {
        // The rest of the range waits for the next commit.
        content.set_end(end);
        picked.ranges.back().end = end;
        return false;
      }
      const std::size_t chunk_count = chunks_.size();
      COFFER_DO(add_extent(extent, sent, content, end));
      used += (chunks_.size() - chunk_count) * kChunkRecordBytes;
    }
  }
  return true;
}

Result<void> Drafting::add_extent(const Extent& extent, const Range& range, ops::ContentRange& to, std::uint64_t& end) {
  const std::uint64_t from = std::max(extent.at.value(), range.begin);
  const std::uint64_t until = std::min(extent.end().value(), range.end);
  ops::Extent& record = *to.add_extents();
  record.set_gap(from - end);
  record.set_bytes(static_cast<std::uint32_t>(until - from));
  COFFER_TRY(const std::uint32_t chunk, chunk_index(extent.chunk));
  record.set_chunk(chunk);
  record.set_chunk_offset(extent.chunk_offset + static_cast<std::uint32_t>(from - extent.at.value()));
  end = until;
  Rows rows = connection_.query("SELECT hash FROM piece WHERE chunk = ? AND chunk_offset = ? AND bytes = ?",
                                extent.chunk, record.chunk_offset(), record.bytes());
  COFFER_TRY(const bool is_piece, rows.step());
  if (is_piece) record.set_piece(rows.text(0));
  return {};
}

Result<std::uint32_t> Drafting::chunk_index(ChunkKey chunk) {
  const auto known = chunk_indexes_.find(chunk);
  if (known != chunk_indexes_.end()) return known->second;
  COFFER_TRY(const ChunkRow row, read::chunk(connection_, chunk));
  if (row.state < ChunkState::stored) {
    return Error{Fault::corrupt, 0, "the tree counts a chunk as stored that is not"};
  }
  const auto index = static_cast<std::uint32_t>(chunks_.size());
  chunks_.push_back(row);
  chunk_indexes_.emplace(chunk, index);
  return index;
}

void Drafting::forget_chunks_after(std::size_t count) {
  while (chunks_.size() > count) {
    chunk_indexes_.erase(chunks_.back().key);
    chunks_.pop_back();
  }
}

}  // namespace coffer::meta
