// What can be read in one statement, on any connection to the tree.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "fs/meta/connection.h"
#include "fs/meta/types.h"

namespace coffer::meta::read {

/// Folders nested deeper are a sign of damage: a circle.
inline constexpr int kDepthMax = 100'000;

/// answer(EINVAL) or answer(ENAMETOOLONG).
Result<void> check_name(std::string_view name);
/// answer(ENOENT).
Result<Attributes> attributes(Connection& connection, InodeId inode);
/// 0 where the name means nothing.
Result<InodeId> meaning(Connection& connection, InodeId parent, std::string_view name);
Result<Attributes> lookup(Connection& connection, InodeId parent, std::string_view name);
Result<std::string> symlink_target(Connection& connection, InodeId inode);
/// Of the entry that was made last; 0 where there is none.
Result<std::uint64_t> last_cookie(Connection& connection, InodeId folder);
Result<std::vector<Entry>> entries(Connection& connection, InodeId folder, std::uint64_t after, std::size_t count_max);
Result<InodeId> parent_of(Connection& connection, InodeId folder);
Result<InodeId> resolve(Connection& connection, std::string_view path);
Result<std::string> path_of(Connection& connection, InodeId inode);
Result<std::vector<std::pair<InodeId, std::string>>> names_of(Connection& connection, InodeId inode);
Result<std::string> xattr(Connection& connection, InodeId inode, std::string_view name);
Result<std::vector<std::string>> xattrs(Connection& connection, InodeId inode);
Result<std::vector<Extent>> extents(Connection& connection, InodeId inode, FileOffset begin, FileOffset end);

/// key, id, state, sealed_bytes, plain_bytes, in this order, from column 0 on.
ChunkRow chunk_row(const Rows& rows);
Result<ChunkRow> chunk(Connection& connection, ChunkKey key);
Result<std::optional<ChunkRow>> chunk_by_id(Connection& connection, const object::ChunkId& id);
Result<std::vector<ChunkRow>> open_chunks(Connection& connection);
Result<std::vector<ChunkRow>> chunks_after(Connection& connection, ChunkKey after, std::size_t count_max);

inline bool is_folder(const Attributes& inode) { return (inode.mode & 0170000) == 0040000; }
inline bool is_file(const Attributes& inode) { return (inode.mode & 0170000) == 0100000; }

}  // namespace coffer::meta::read
