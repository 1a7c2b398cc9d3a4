// What goes into and comes out of the Tree (tree.h).
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "common/base/bytes.h"
#include "common/object/ids.h"
#include "fs/value/attributes.h"
#include "fs/value/chunk_row.h"
#include "fs/value/extent.h"
#include "fs/value/ids.h"
#include "fs/value/level.h"

namespace coffer::meta {

/// Cookies of entries() begin here, so that smaller ones are free for "." and "..".
inline constexpr std::uint64_t kCookieMin = 16;
/// All xattrs of one inode, names and values: they travel in one record.
inline constexpr std::size_t kXattrsBytesMax = 1u << 20;

/// Told after the transaction that brought it about, outside all locks of the Tree: it may be called from any thread
/// that calls the Tree, and may itself call the Tree.
class TreeEvents {
 public:
  virtual ~TreeEvents() = default;
  /// No file uses the chunk any more and its row is gone: its bytes in the spool or the staging file can be freed.
  virtual void chunk_dropped(const ChunkRow& chunk) = 0;
  /// More is owed, or may be committed, than before: a change of any kind, or the end of a hold.
  virtual void changed() {}
  /// A change could not be made, or what was changed not be committed: the database or its log failed. Also of what the
  /// Tree does by itself.
  virtual void failed(const Error&) {}
};

struct NewInode {
  std::uint32_t mode = 0;  ///< With the type: S_IFREG, S_IFDIR, S_IFLNK, S_IFIFO, S_IFSOCK, S_IFCHR or S_IFBLK.
  std::uint32_t uid = 0;
  std::uint32_t gid = 0;
  std::uint64_t rdev = 0;        ///< Only of S_IFCHR and S_IFBLK.
  std::string symlink_target{};  ///< Only of S_IFLNK: 1 … limits::kSymlinkBytesMax bytes.
  /// Taken off the mode, but of a symbolic link, and where the folder has a default ACL, which says it then.
  std::uint32_t umask = 0;
};

enum class RenameMode { replace, no_replace, exchange };
enum class XattrMode { either, create, replace };

struct Entry {
  std::string name{};
  Attributes attributes{};
  std::uint64_t cookie = 0;  ///< kCookieMin or more.
};

/// What change() sets; what is unset stays.
struct AttributeChange {
  std::optional<std::uint32_t> mode{};  ///< Permission bits (07777); the type stays.
  std::optional<std::uint32_t> uid{};
  std::optional<std::uint32_t> gid{};
  std::optional<std::uint64_t> bytes{};  ///< truncate(2).
  std::optional<std::int64_t> atime_ns{};
  std::optional<std::int64_t> mtime_ns{};
  std::optional<std::int64_t> ctime_ns{};
  bool clears_privileges = false;  ///< suid, and sgid where the group may execute; not of a folder.
};

/// Of `mode`, what AttributeChange::clears_privileges takes off.
constexpr std::uint32_t privileges_in(std::uint32_t mode) {
  constexpr std::uint32_t kSetUid = 04000, kSetGid = 02000, kGroupExecutes = 00010;
  const bool runs_as_group = (mode & (kSetGid | kGroupExecutes)) == (kSetGid | kGroupExecutes);
  return (mode & kSetUid) | (runs_as_group ? kSetGid : 0);
}

/// Content to be recorded for one file, in one transaction.
struct Content {
  std::vector<Extent> extents{};           ///< Ascending, not overlapping.
  std::vector<Range> replaced{};           ///< These lose their old extents first: overwritten bytes and punched holes.
  std::uint64_t bytes = 0;                 ///< The file is at least this long afterwards; record() never shortens.
  std::optional<std::int64_t> mtime_ns{};  ///< Given: mtime is this and ctime is now. Unset: times stay as they are.
};

/// A piece, or any run of plain bytes, in a chunk.
struct PieceAt {
  ChunkKey chunk{};
  std::uint32_t chunk_offset = 0;
  std::uint32_t bytes = 0;

  friend auto operator<=>(const PieceAt&, const PieceAt&) = default;
};

struct Totals {
  std::uint64_t files = 0;         ///< Inodes of all types, without the root.
  std::uint64_t bytes = 0;         ///< Content without holes, before deduplication and compression.
  std::uint64_t sealed_bytes = 0;  ///< Of all chunks that files use.
};

/// What a commit is made of; the caller adds vault and lease epoch, and seals the payload.
struct Draft {
  std::uint64_t seq = 0;
  object::CommitHash previous{};
  std::vector<object::ChunkId> added{};     ///< Ascending, without repetition.
  std::vector<object::ChunkId> released{};  ///< Ascending, without repetition.
  Bytes payload{};                          ///< A TreeOps message (tree_ops.proto, TREE.md), in plain.
};

/// A chunk that goes to the server together with the commit that is the first to name it.
struct CarriedChunk {
  ChunkRow row;
  std::shared_ptr<const Bytes> sealed;
};

/// The last commit that this tree knows to be in the log; seq 0 and zeros at the beginning.
struct Head {
  std::uint64_t seq = 0;
  object::CommitHash hash{};

  friend bool operator==(const Head&, const Head&) = default;
};

/// What apply() changed, for caches above.
struct Changed {
  std::vector<InodeId> inodes{};  ///< Attributes or content; also those that are gone.
  std::vector<std::pair<InodeId, std::string>> names{};
};

struct Owed {
  std::uint64_t inodes = 0;
  std::uint64_t names = 0;
  std::uint64_t chunks = 0;       ///< Not stored yet: open or spooled.
  std::uint64_t chunk_bytes = 0;  ///< Sealed bytes of the spooled ones.
  bool commit_pending = false;
  std::optional<std::int64_t> since_ns{};  ///< When the oldest owed change was made.

  bool nothing() const { return inodes == 0 && names == 0 && !commit_pending; }
};

/// What of one path is not committed.
struct OwedPath {
  std::string path{};  ///< "/a/b"; "/" is the root.
  InodeId inode{};     ///< None where it is removed.
  std::uint32_t mode = 0;
  bool content = false;
  bool attributes = false;
  bool name = false;        ///< The path has another meaning than the committed one.
  bool removed = false;     ///< It is gone here, and not in the committed state.
  std::uint64_t bytes = 0;  ///< Of content that differs from the committed one.
  std::int64_t since_ns = 0;
};

}  // namespace coffer::meta
