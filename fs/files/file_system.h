// POSIX calls on inodes: what a mount, and put and get without one, stand on.
//
// Joins the tree (fs/meta) with what was written and is not yet recorded (fs/commit): sizes and times show both. Knows
// no kernel and no libfuse. Who may do what is not checked here; a mount leaves that to the kernel.
//
// Two sorts of inodes: the tree's, and the virtual ones under /.coffer, whose numbers begin at kVirtualInodeFirst. The
// folder .coffer is found by lookup() in the root and not listed there:
//
//     .coffer/status    one JSON object, made when it is opened
//     .coffer/barrier   fsync() of it returns when all that was written before is committed
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/bytes.h"
#include "common/base/limits.h"
#include "common/base/result.h"
#include "common/base/strong.h"
#include "common/os/clock.h"
#include "fs/commit/committer.h"
#include "fs/fetch/fetcher.h"
#include "fs/files/durability.h"
#include "fs/meta/tree.h"

namespace coffer::files {

inline constexpr std::uint64_t kVirtualInodeFirst = std::uint64_t{1} << 62;
inline constexpr InodeId kVirtualFolder{kVirtualInodeFirst};
inline constexpr InodeId kStatusFile{kVirtualInodeFirst + 1};
inline constexpr InodeId kBarrierFile{kVirtualInodeFirst + 2};

/// The level of a file, as level_name() says it: `memory` also of one that was opened for writing, or written to, and
/// not flushed since, because a kernel may hold more of it.
inline constexpr std::string_view kLevelXattr = "user.coffer.level";
/// SHA-256 of a file's content in lower-case hexadecimal; reading it reads the file.
inline constexpr std::string_view kSha256Xattr = "user.coffer.sha256";
/// high, normal or low: how urgently a file is sent. The only one that can be set.
inline constexpr std::string_view kPriorityXattr = "user.coffer.priority";

/// What fsync waits for.
enum class FsyncMode {
  server,  ///< `committed`.
  local,   ///< `spooled`, and safe on the local disk whenever the power goes.
};

/// What reading does to atime, as mount(8) says it.
enum class Atimes {
  none,      ///< noatime
  relative,  ///< relatime: where it is not younger than mtime and ctime, or is a day old.
  always,    ///< strictatime
};

struct FileSystemOptions {
  bool read_only = false;
  Atimes atimes = Atimes::relative;
  bool folder_atimes = true;  ///< Not so with nodiratime.
  FsyncMode fsync = FsyncMode::server;
  std::chrono::milliseconds fsync_timeout = limits::kFsyncTimeout;
  std::chrono::milliseconds barrier_timeout = std::chrono::hours(24);
  std::chrono::milliseconds read_timeout = limits::kReadTimeout;
};

/// An open file or folder.
using HandleId = Strong<std::uint64_t, struct HandleIdTag>;

struct Opened {
  Attributes attributes;
  HandleId handle;
};

using meta::Entry;

struct FileSystemTotals {
  std::uint64_t bytes;  ///< Room in all, or as much as can be said.
  std::uint64_t free_bytes;
  std::uint64_t files;
};

/// Thread-safe. Keeps references to all it is given.
///
/// Changes fail with answer(EROFS) where the mount is read-only, and as Durability::accepts() says. Calls with a
/// `stop` may wait for the network or for room; a requested stop ends them with Fault::stopped.
class FileSystem {
 public:
  FileSystem(meta::Tree& tree, commit::Committer& committer, fetch::Fetcher& fetcher, Durability& durability,
             os::Clock& clock, FileSystemOptions options);
  ~FileSystem();
  FileSystem(const FileSystem&) = delete;
  FileSystem& operator=(const FileSystem&) = delete;

  const FileSystemOptions& options() const;
  /// How to have a kernel write the pages that it holds of an inode: returns when they have come by write(). Called
  /// from fsync(), sync(), flush_all() and bring_all(): none of them on a thread that answers the kernel. None where
  /// there is no kernel.
  using PushPages = std::function<void(InodeId)>;
  void on_push_pages(PushPages push);
  /// The time of day, as times of files are counted.
  std::int64_t now_ns() const;

  // -- names
  Result<Attributes> lookup(InodeId parent, std::string_view name);
  Result<Attributes> attributes(InodeId inode);
  /// With a size it truncates; nanoseconds are kept exactly.
  Result<Attributes> change(InodeId inode, const meta::AttributeChange& change);
  /// suid, and sgid where the group may execute; not of a folder. Whether there was something to clear.
  Result<bool> clear_privileges(InodeId inode);
  Result<Attributes> create(InodeId parent, std::string_view name, const meta::NewInode& what);
  Result<Attributes> link(InodeId inode, InodeId new_parent, std::string_view name);
  Result<void> unlink(InodeId parent, std::string_view name);
  Result<void> rmdir(InodeId parent, std::string_view name);
  /// A file that takes another's place while it is open for writing is not committed before it is flushed: half a file
  /// never replaces a good one.
  Result<void> rename(InodeId parent, std::string_view name, InodeId new_parent, std::string_view new_name,
                      meta::RenameMode mode);
  Result<std::string> symlink_target(InodeId inode);
  Result<InodeId> parent_of(InodeId folder);
  /// "/a/b"; follows no symbolic link.
  Result<InodeId> resolve(std::string_view path);
  /// One of the paths of `inode`, from the root and without a '/' before it; "" for the root, answer(ENOENT) where it
  /// has no name.
  Result<std::string> path_of(InodeId inode);
  /// Behind `after` (0: from the start), without "." and "..".
  Result<std::vector<Entry>> entries(InodeId folder, std::uint64_t after, std::size_t count_max);
  /// As in Tree.
  Result<std::uint64_t> last_cookie(InodeId folder);
  /// Someone knows `inode` by number (the kernel, `count` lookups): it stays, even without a name, until forgotten.
  void remember(InodeId inode, std::uint64_t count = 1);
  void forget(InodeId inode, std::uint64_t count);
  /// A folder was listed, or a symbolic link followed: its atime becomes what options().atimes says.
  void touch(InodeId inode);
  /// A handle that only reads is being closed, and has read: a kernel that has the pages asks for nothing. Whether the
  /// atime changed.
  bool touch_at_close(HandleId handle);
  /// Whether its atime changes if it is read now.
  bool is_touched_by_reading(const Attributes& now) const;

  // -- open files
  /// `flags` as of open(2), O_NOATIME among them. O_TRUNC empties the file, and keeps that from the server until the
  /// file is flushed with something in it, or released, so that an emptied file never replaces a good one.
  Result<HandleId> open(InodeId inode, int flags);
  /// Makes a regular file and opens it.
  Result<Opened> create_open(InodeId parent, std::string_view name, const meta::NewInode& what, int flags);
  /// Up to into.size() bytes; fewer only at the end of the file. Fault::offline at read_timeout.
  Result<std::size_t> read(HandleId handle, std::uint64_t offset, MutableByteView into, std::stop_token stop = {});
  /// The bytes are in memory when it returns; it waits for room (commit::Committer::write()).
  Result<void> write(HandleId handle, std::uint64_t offset, ByteView bytes, std::stop_token stop = {},
                     commit::WriteTimes times = commit::WriteTimes::now);
  /// As every close(2) does: afterwards what was written is `spooled`. Hands out a failure that happened in the
  /// background since the last call, once.
  Result<void> flush(HandleId handle);
  /// The last of it. Flushes what came after the last flush(), as writes through a mapping do.
  void release(HandleId handle);
  /// As options().fsync says, within fsync_timeout. Of kBarrierFile: sync() within barrier_timeout.
  Result<void> fsync(InodeId inode, std::stop_token stop = {});
  /// Flushes everything and waits until it is committed.
  Result<void> sync(os::SteadyTime deadline, std::stop_token stop = {});
  /// Flushes everything: all that was written is `spooled`.
  Result<void> flush_all();
  /// Regular files with handles that may write.
  std::vector<InodeId> open_for_writing();
  bool is_open_for_writing(InodeId inode);
  bool is_open(InodeId inode);
  /// What was written to `inode` cannot be sent as things are: the next fsync() or flush() says so, and each fsync()
  /// until nullopt is set.
  void set_upload_failure(InodeId inode, const std::optional<Error>& error);
  std::optional<Error> upload_failure(InodeId inode) const;
  /// Files that were closed and could not be kept on the local disk since: their bytes are in memory alone.
  std::vector<InodeId> not_kept();
  /// Has a kernel hand over what it holds of files that are open for writing, and keeps it: before the mount turns
  /// read-only. What fails stays in memory.
  void bring_all();
  /// A sentence for each file that could not be flushed when it was closed and has not been since: for the status.
  std::vector<std::string> problems();
  /// Whether so little more is taken that a writer should hear of it at once, and not when it closes the file.
  bool is_short_of_room();

  enum class Allocate { extend, keep_size, punch_hole, zero_range, zero_range_keep_size };
  Result<void> allocate(HandleId handle, Allocate mode, std::uint64_t offset, std::uint64_t bytes);
  enum class Seek { data, hole };
  Result<std::uint64_t> seek(HandleId handle, Seek what, std::uint64_t offset);
  /// Shares content between two files of the vault, without reading it.
  Result<std::uint64_t> copy_range(HandleId from, std::uint64_t from_offset, HandleId to, std::uint64_t to_offset,
                                   std::uint64_t bytes);

  // -- extended attributes; those that begin with user.coffer. are ours, and not listed
  Result<std::string> xattr(InodeId inode, std::string_view name, std::stop_token stop = {});
  Result<std::vector<std::string>> xattrs(InodeId inode);
  Result<void> set_xattr(InodeId inode, std::string_view name, ByteView value, meta::XattrMode mode);
  Result<void> remove_xattr(InodeId inode, std::string_view name);

  Result<FileSystemTotals> totals();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace coffer::files
