#include "fs/meta/read.h"

#include <sys/stat.h>

#include <algorithm>
#include <cerrno>

#include "common/base/limits.h"

namespace coffer::meta::read {
namespace {

/// ino, mode, uid, gid, rdev, bytes, allocated, links, atime, mtime, ctime, btime, in this order.
Attributes attributes_at(const Rows& rows, int column) {
  return {.inode = InodeId(rows.u64(column)),
          .mode = rows.u32(column + 1),
          .uid = rows.u32(column + 2),
          .gid = rows.u32(column + 3),
          .rdev = rows.u64(column + 4),
          .bytes = rows.u64(column + 5),
          .allocated_bytes = rows.u64(column + 6),
          .links = rows.u32(column + 7),
          .atime_ns = rows.integer(column + 8),
          .mtime_ns = rows.integer(column + 9),
          .ctime_ns = rows.integer(column + 10),
          .btime_ns = rows.integer(column + 11)};
}

/// Why nothing was found in `folder`: answer(ENOTDIR) or answer(ENOENT).
Error nothing_in(Connection& connection, InodeId folder) {
  Result<Attributes> parent = attributes(connection, folder);
  if (!parent) return std::move(parent).error();
  return answer(is_folder(*parent) ? ENOENT : ENOTDIR);
}

}  // namespace

Result<void> check_name(std::string_view name) {
  if (name.size() > limits::kNameBytesMax) return answer(ENAMETOOLONG);
  if (name.empty() || name == "." || name == "..") return answer(EINVAL);
  const auto is_forbidden = [](char c) { return c == '/' || c == '\0'; };
  if (std::any_of(name.begin(), name.end(), is_forbidden)) return answer(EINVAL);
  return {};
}

Result<Attributes> attributes(Connection& connection, InodeId inode) {
  if (const Attributes* const known = connection.inodes().find(inode); known != nullptr) return *known;
  Rows rows = connection.query_settled(
      "SELECT ino, mode, uid, gid, rdev, bytes, allocated, links, atime, mtime, ctime, btime FROM inode WHERE ino = ?",
      inode);
  COFFER_TRY(const bool found, rows.step());
  if (!found) return answer(ENOENT);
  const Attributes row = attributes_at(rows, 0);
  connection.inodes().found(row);
  return row;
}

Result<InodeId> meaning(Connection& connection, InodeId parent, std::string_view name) {
  Rows rows = connection.query("SELECT ino FROM name WHERE parent = ? AND name = ?", parent, name);
  COFFER_TRY(const bool found, rows.step());
  return InodeId(found ? rows.u64(0) : 0);
}

Result<Attributes> lookup(Connection& connection, InodeId parent, std::string_view name) {
  COFFER_DO(check_name(name));
  if (connection.inodes().are_used()) {  // The writer's: nothing comes between these two.
    COFFER_TRY(const InodeId inode, meaning(connection, parent, name));
    if (inode == InodeId()) return nothing_in(connection, parent);
    return attributes(connection, inode);
  }
  {
    // In one statement: between two, the writer may give the name to another inode and delete this one.
    Rows rows = connection.query(
        "SELECT i.ino, mode, uid, gid, rdev, bytes, allocated, links, atime, mtime, ctime, btime "
        "FROM name n JOIN inode i ON i.ino = n.ino WHERE n.parent = ? AND n.name = ?",
        parent, name);
    COFFER_TRY(const bool found, rows.step());
    if (found) return attributes_at(rows, 0);
  }
  return nothing_in(connection, parent);
}

Result<std::string> symlink_target(Connection& connection, InodeId inode) {
  Rows rows = connection.query("SELECT target FROM inode WHERE ino = ?", inode);
  COFFER_TRY(const bool found, rows.step());
  if (!found) return answer(ENOENT);
  if (rows.is_null(0)) return answer(EINVAL);
  return rows.text(0);
}

Result<std::uint64_t> last_cookie(Connection& connection, InodeId folder) {
  Rows rows = connection.query("SELECT coalesce(max(cookie), 0) FROM name WHERE parent = ?", folder);
  COFFER_DO(rows.step());
  return rows.u64(0);
}

Result<std::vector<Entry>> entries(Connection& connection, InodeId folder, std::uint64_t after, std::size_t count_max) {
  std::vector<Entry> entries;
  Rows found = connection.query(
      "SELECT i.ino, mode, uid, gid, rdev, bytes, allocated, links, atime, mtime, ctime, btime, n.name, n.cookie "
      "FROM name n JOIN inode i ON i.ino = n.ino WHERE n.parent = ? AND n.cookie > ? ORDER BY n.cookie LIMIT ?",
      folder, after, count_max);
  COFFER_DO(for_each(std::move(found), [&](const Rows& row) {
    entries.push_back({.name = row.text(12), .attributes = attributes_at(row, 0), .cookie = row.u64(13)});
  }));
  if (entries.empty()) {
    COFFER_TRY(const Attributes self, attributes(connection, folder));
    if (!is_folder(self)) return answer(ENOTDIR);
  }
  return entries;
}

Result<InodeId> parent_of(Connection& connection, InodeId folder) {
  if (folder == kRootInode) return kRootInode;
  {
    Rows rows = connection.query("SELECT parent FROM name WHERE ino = ? LIMIT 1", folder);
    COFFER_TRY(const bool found, rows.step());
    if (found) return InodeId(rows.u64(0));
  }
  return answer(ENOENT);
}

Result<std::string> path_of(Connection& connection, InodeId inode) {
  std::string path;
  for (int depth = 0; inode != kRootInode; ++depth) {
    if (depth == kDepthMax) return Error{Fault::corrupt, 0, "folders form a circle"};
    Rows rows = connection.query("SELECT parent, name FROM name WHERE ino = ? LIMIT 1", inode);
    COFFER_TRY(const bool found, rows.step());
    if (!found) return answer(ENOENT);
    path = rows.text(1) + (path.empty() ? "" : "/") + path;
    inode = InodeId(rows.u64(0));
  }
  return path;
}

Result<std::vector<std::pair<InodeId, std::string>>> names_of(Connection& connection, InodeId inode) {
  std::vector<std::pair<InodeId, std::string>> names;
  COFFER_DO(for_each(connection.query("SELECT parent, name FROM name WHERE ino = ?", inode),
                     [&](const Rows& row) { names.emplace_back(row.u64(0), row.text(1)); }));
  return names;
}

Result<InodeId> resolve(Connection& connection, std::string_view path) {
  InodeId at = kRootInode;
  while (!path.empty()) {
    const std::size_t end = std::min(path.find('/'), path.size());
    const std::string_view name = path.substr(0, end);
    path.remove_prefix(std::min(end + 1, path.size()));
    if (name.empty()) continue;
    COFFER_TRY(const Attributes next, lookup(connection, at, name));
    at = next.inode;
  }
  return at;
}

Result<std::string> xattr(Connection& connection, InodeId inode, std::string_view name) {
  // The kernel asks for one that is rarely there before it writes to a file, and before its owner changes.
  if (connection.inodes().has_no_xattrs(inode)) return answer(ENODATA);
  {
    Rows rows = connection.query("SELECT value FROM xattr WHERE ino = ? AND name = ?", inode, name);
    COFFER_TRY(const bool found, rows.step());
    if (found) return rows.text(0);
  }
  COFFER_TRY([[maybe_unused]] const Attributes exists, attributes(connection, inode));
  if (!connection.inodes().are_used()) return answer(ENODATA);
  COFFER_TRY(const bool has_any, connection.any("SELECT 1 FROM xattr WHERE ino = ? LIMIT 1", inode));
  if (!has_any) connection.inodes().found_no_xattrs(inode);
  return answer(ENODATA);
}

Result<std::vector<std::string>> xattrs(Connection& connection, InodeId inode) {
  std::vector<std::string> names;
  COFFER_DO(for_each(connection.query("SELECT name FROM xattr WHERE ino = ? ORDER BY name", inode),
                     [&](const Rows& row) { names.push_back(row.text(0)); }));
  if (names.empty()) {
    COFFER_TRY([[maybe_unused]] const Attributes exists, attributes(connection, inode));
  }
  return names;
}

Result<std::vector<Extent>> extents(Connection& connection, InodeId inode, FileOffset begin, FileOffset end) {
  std::vector<Extent> extents;
  end = std::min(end, FileOffset(limits::kFileBytesMax));
  if (begin >= end) return extents;
  // Only the last extent that begins before `begin` can reach into the range.
  Rows found = connection.query(
      "SELECT at, bytes, chunk, chunk_offset FROM extent WHERE ino = ?1 AND at < ?3 AND "
      "at >= coalesce((SELECT max(at) FROM extent WHERE ino = ?1 AND at <= ?2), 0) ORDER BY at",
      inode, begin, end);
  COFFER_DO(for_each(std::move(found), [&](const Rows& row) {
    Extent extent;
    extent.at = FileOffset(row.u64(0));
    extent.bytes = row.u32(1);
    extent.chunk = ChunkKey(row.integer(2));
    extent.chunk_offset = row.u32(3);
    if (extent.end() > begin) extents.push_back(extent);
  }));
  return extents;
}

ChunkRow chunk_row(const Rows& rows) {
  return {.key = ChunkKey(rows.integer(0)),
          .state = static_cast<ChunkState>(rows.integer(2)),
          .id = rows.id<object::ChunkId>(1),
          .sealed_bytes = rows.u32(3),
          .plain_bytes = rows.u32(4)};
}

Result<ChunkRow> chunk(Connection& connection, ChunkKey key) {
  Rows rows = connection.query("SELECT key, id, state, sealed_bytes, plain_bytes FROM chunk WHERE key = ?", key);
  COFFER_TRY(const bool found, rows.step());
  if (!found) return answer(ENOENT);
  return chunk_row(rows);
}

Result<std::optional<ChunkRow>> chunk_by_id(Connection& connection, const object::ChunkId& id) {
  Rows rows = connection.query("SELECT key, id, state, sealed_bytes, plain_bytes FROM chunk WHERE id = ?", id);
  COFFER_TRY(const bool found, rows.step());
  if (!found) return std::optional<ChunkRow>();
  return std::optional(chunk_row(rows));
}

Result<std::vector<ChunkRow>> open_chunks(Connection& connection) {
  std::vector<ChunkRow> chunks;
  COFFER_DO(for_each(
      connection.query("SELECT key, id, state, sealed_bytes, plain_bytes FROM chunk WHERE state = 0 ORDER BY key"),
      [&](const Rows& row) { chunks.push_back(chunk_row(row)); }));
  return chunks;
}

Result<std::vector<ChunkRow>> chunks_after(Connection& connection, ChunkKey after, std::size_t count_max) {
  std::vector<ChunkRow> chunks;
  COFFER_DO(for_each(connection.query("SELECT key, id, state, sealed_bytes, plain_bytes FROM chunk WHERE key > ? "
                                      "ORDER BY key LIMIT ?",
                                      after, count_max),
                     [&](const Rows& row) { chunks.push_back(chunk_row(row)); }));
  return chunks;
}

}  // namespace coffer::meta::read
