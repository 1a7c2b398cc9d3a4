// The whole tree of a vault, in SQLite: inodes, names, extents, xattrs, chunks, pieces, and what is owed to the server.
//
// Every change of the tree writes, in the same transaction, what is owed because of it: a state-based outbox. A change
// that leads back to what is committed is no longer owed, so files that die young are never sent. draft_commit() picks
// a consistent part of what is owed; TREE.md has the tables, the rules, what a crash leaves, and the payload's format.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "common/base/bytes.h"
#include "common/base/result.h"
#include "common/object/commit.h"
#include "common/os/clock.h"
#include "common/os/disk.h"
#include "fs/meta/types.h"

namespace coffer::meta {

/// Thread-safe. Each call is one transaction or one consistent read, and blocks for the local disk at most.
///
/// A call that changes the tree returns when kill -9 of this process cannot undo it (`spooled`); power_safe() makes
/// that true of a power cut. Failures beside POSIX's own answers: Fault::local_io, Fault::full, Fault::corrupt (the
/// database is damaged); the tree is then as before the call.
///
/// A name is 1 … 255 bytes without '/' and NUL and neither "." nor "..": else answer(EINVAL), or answer(ENAMETOOLONG).
/// An inode that is not there is answer(ENOENT); a parent that is no folder is answer(ENOTDIR). No call checks
/// permissions: the kernel does (default_permissions).
class Tree {
 public:
  using Entry = meta::Entry;
  using AttributeChange = meta::AttributeChange;
  using Content = meta::Content;
  using PieceAt = meta::PieceAt;
  using Totals = meta::Totals;
  using CarriedChunk = meta::CarriedChunk;
  using Draft = meta::Draft;
  using Head = meta::Head;
  using Changed = meta::Changed;
  using Owed = meta::Owed;
  using RenameMode = meta::RenameMode;
  using XattrMode = meta::XattrMode;
  using Priority = coffer::Priority;

  /// Opens or makes the tree. A new one holds only the root (mode 0755, owner 0:0, all times 0), which is not owed.
  /// Inodes that were unlinked but open when the process ended are deleted now, with their chunks. References are kept.
  static Result<std::unique_ptr<Tree>> open(const std::string& path, os::Clock& clock, TreeEvents& events,
                                            os::Disk& disk = os::real_disk());
  ~Tree();
  Tree(const Tree&) = delete;
  Tree& operator=(const Tree&) = delete;

  // ---- names ------------------------------------------------------------------------------------------------------

  Result<Attributes> lookup(InodeId parent, std::string_view name);
  Result<Attributes> attributes(InodeId inode);
  /// creat, mkdir, mknod, symlink. A folder with setgid hands its group on, and its setgid bit to folders; one with a
  /// default ACL hands that on to folders, and as access ACL to all but symbolic links.
  Result<Attributes> create(InodeId parent, std::string_view name, const NewInode& what);
  /// EPERM for a folder; ENOENT for an inode without a name.
  Result<Attributes> link(InodeId inode, InodeId new_parent, std::string_view name);
  /// EISDIR for a folder. The last name gone, the inode goes too, now or when its last pin does.
  Result<void> unlink(InodeId parent, std::string_view name);
  /// ENOTDIR, ENOTEMPTY.
  Result<void> rmdir(InodeId parent, std::string_view name);
  /// rename(2) and renameat2(2): EINVAL into a folder's own subtree, EEXIST with no_replace, ENOENT, ENOTDIR, EISDIR,
  /// ENOTEMPTY. Two names of one inode: nothing happens.
  Result<void> rename(InodeId parent, std::string_view name, InodeId new_parent, std::string_view new_name,
                      RenameMode mode);
  /// EINVAL if it is none.
  Result<std::string> symlink_target(InodeId inode);
  /// At most `count_max` entries whose cookie is above `after`, without "." and "..", cookies ascending. An entry that
  /// stays in the folder while it is listed is seen exactly once.
  Result<std::vector<Entry>> entries(InodeId folder, std::uint64_t after, std::size_t count_max);
  /// Entries that are made, or renamed to a new name, from now on have greater ones.
  Result<std::uint64_t> last_cookie(InodeId folder);
  /// The root is its own parent. ENOENT for a folder that was removed.
  Result<InodeId> parent_of(InodeId folder);
  /// "/a/b", "a/b", "/" and "" from the root; symbolic links are not followed.
  Result<InodeId> resolve(std::string_view path);
  /// One of the inode's paths, for resolve(): "a/b"; "" for the root. ENOENT where it has no name.
  Result<std::string> path_of(InodeId inode);
  /// All names of the inode: a folder and a name in it each.
  Result<std::vector<std::pair<InodeId, std::string>>> names_of(InodeId inode);

  /// Sets what is given; ctime becomes now unless given. A truncate sets mtime unless given (EISDIR, EINVAL where it is
  /// no file, EFBIG). A change of atime alone is stored, but neither touches ctime nor is owed. A mode changes the
  /// access ACL too.
  Result<Attributes> change(InodeId inode, const AttributeChange& change);
  /// ENODATA where it is not there.
  Result<std::string> xattr(InodeId inode, std::string_view name);
  /// Ascending.
  Result<std::vector<std::string>> xattrs(InodeId inode);
  /// EEXIST, ENODATA by `mode`; ERANGE for a name not of 1 … 255 bytes, E2BIG above limits::kXattrBytesMax, ENOSPC
  /// above kXattrsBytesMax for all of the inode. An access ACL (fs/value/posix_acl.h) sets the mode too, and is not
  /// kept where the mode says it all; EINVAL for what is none, EACCES for a default one but of a folder, EOPNOTSUPP for
  /// either of a symbolic link.
  Result<void> set_xattr(InodeId inode, std::string_view name, ByteView value, XattrMode mode);
  Result<void> remove_xattr(InodeId inode, std::string_view name);

  /// The kernel's lookups and open handles, in memory: an unlinked inode lives while it has any.
  void pin(InodeId inode, std::uint64_t count = 1);
  void unpin(InodeId inode, std::uint64_t count = 1);
  Result<Totals> totals();

  // ---- content ----------------------------------------------------------------------------------------------------

  /// The extents that overlap [begin, end), ascending, whole: the first may begin before and the last end behind.
  /// Their `piece` is unset.
  Result<std::vector<Extent>> extents(InodeId inode, FileOffset begin, FileOffset end);
  /// Replaces content: old extents are cut where `replaced` and the new extents lie. The pieces of new extents can be
  /// found from now on, and the keeps of find_piece(), keep() and add_spooled_chunk() on what the extents name are
  /// used up. EINVAL where it is no file; ESTALE (nothing changed) if a chunk is gone, which no kept one can be.
  Result<Mark> record(InodeId inode, const Content& content);

  /// A found piece is kept: its chunk stays, and its bytes count as live, until a record() uses it or let_go().
  Result<std::optional<PieceAt>> find_piece(const PieceId& piece);
  /// These chunks were found lost or damaged: none of their pieces is found any more, so that writing the same content
  /// again makes new chunks. Files that use them keep their extents.
  Result<void> forget_pieces(std::span<const ChunkKey> chunks);
  /// Keeps bytes of a chunk that an extent is about to name, such as those appended to an open chunk and not recorded
  /// yet; used up as those of find_piece().
  void keep(const PieceAt& piece);
  void let_go(const PieceAt& piece);
  /// Ends the keep of the whole chunk that add_open_chunk() and add_spooled_chunk() begin, where neither record() nor
  /// chunk_sealed() did. Unused, the chunk is dropped now; so is an open chunk all of whose bytes are dead.
  void let_go(ChunkKey chunk);

  /// A chunk being batched; kept until chunk_sealed() or let_go(). After a restart open_chunks() are kept again.
  Result<ChunkKey> add_open_chunk();
  /// Kept until the first record() that names it, and not owed before that.
  Result<ChunkKey> add_spooled_chunk(const object::ChunkId& id, std::uint32_t sealed_bytes, std::uint32_t plain_bytes,
                                     Priority priority);
  /// open → spooled, with Priority::small unless raised. The chunk may be dropped at once if all of it is dead.
  Result<void> chunk_sealed(ChunkKey chunk, const object::ChunkId& id, std::uint32_t sealed_bytes,
                            std::uint32_t plain_bytes);
  /// Which bytes of an open chunk extents and keeps use, joined, ascending. The rest may be zeroed before sealing: its
  /// pieces are not found any more after this call.
  Result<std::vector<Range>> live_ranges(ChunkKey chunk);
  Result<ChunkRow> chunk(ChunkKey chunk);
  Result<std::optional<ChunkRow>> chunk_by_id(const object::ChunkId& id);
  Result<std::vector<ChunkRow>> open_chunks();
  /// Chunks with a key above `after`, ascending: those that were written after it, and a walk over all of them.
  Result<std::vector<ChunkRow>> chunks_after(ChunkKey after, std::size_t count_max);

  // ---- what is owed -----------------------------------------------------------------------------------------------

  /// Spooled chunks that files need, most urgent first, without those that `skip` names (it must not call the Tree).
  Result<std::vector<ChunkRow>> owed_chunks(std::size_t count_max, const std::function<bool(ChunkKey)>& skip);
  /// Chunks dropped in the meantime are passed over.
  Result<void> chunks_stored(std::span<const ChunkKey> chunks);
  /// The server does not have them after all: stored → spooled. Others are passed over.
  Result<void> chunks_lost(std::span<const object::ChunkId> chunks);
  /// Someone waits until the inode is committed(): the chunks that this needs become Priority::waiting.
  Result<void> raise(InodeId inode);
  /// In memory: while true, the inode is not drafted, nor names that lead to it. For a file that was emptied by O_TRUNC
  /// and is not closed yet, so that an emptied file never replaces a good one.
  void hold(InodeId inode, bool held);
  /// Someone waits until the inode is committed(): ends the holds of those that must be committed before it or with it,
  /// as renames bind them.
  Result<void> let_go_for(InodeId inode);

  /// Picks what is ready and calls `seal` with it inside the transaction (it must not call the Tree); the commit's
  /// bytes that it returns are kept as the pending commit. nullopt if nothing is ready. One pending commit at a time:
  /// with one pending, Fault::refused.
  ///
  /// Of `carried`, spooled chunks that the commit will take along, what it does not name is taken out. The others stay
  /// spooled and are owed no more by themselves; their bytes are kept with the commit, and are as safe as it is.
  Result<std::optional<Bytes>> draft_commit(const std::function<Result<Bytes>(const Draft&)>& seal,
                                            std::vector<CarriedChunk>* carried = nullptr);
  /// What the pending commit takes along.
  Result<std::vector<CarriedChunk>> carried();
  /// Survives restarts: send it again, the same bytes.
  Result<std::optional<Bytes>> pending_commit();
  /// The pending commit is in the log: what it holds is no longer owed unless it was changed since. Fault::refused if
  /// `seq` is not that of the pending commit. `receipt` is kept in place of the last one, where there is any.
  Result<void> commit_done(std::uint64_t seq, const object::CommitHash& hash, ByteView receipt = {});
  /// The last that was kept, as object::encode() wrote it; empty where none was.
  Result<Bytes> receipt();
  /// The pending commit can never be appended (lease lost): what it holds is owed again. Nothing pending: no change.
  Result<void> commit_refused();

  Result<Head> head();
  /// Applies the commit after head(), made by another client, or by this one before its tree was lost.
  /// `opened_payload` is the payload in plain and may come from anyone. If the commit is the pending one, this is
  /// commit_done(). Fault::corrupt if seq and previous do not fit head() or the payload is not well-formed;
  /// Fault::refused while other changes are owed.
  Result<Changed> apply(const object::Commit& commit, ByteView opened_payload, const object::CommitHash& hash);
  /// This client holds the lease and has applied the whole log: deletes inodes that a client before it committed
  /// without coming to name them.
  Result<void> take_over();

  /// Random, of this tree alone: one that is fetched anew has another. 32 hexadecimal digits.
  Result<std::string> id();
  /// Now.
  Mark mark();
  /// Nothing is owed that became owed at or before `mark`.
  Result<bool> committed_up_to(Mark mark);
  /// The inode's content (of a folder, the names in it), attributes and names, and the names above it. True of an inode
  /// without a name.
  Result<bool> committed(InodeId inode);
  /// spooled … verified; bytes that are still in memory are not known here.
  Result<Level> level(InodeId inode);
  Result<Owed> owed();
  /// The same, path by path, oldest first: one walk over all that is owed. Of a file with several names one of them
  /// stands for content and attributes.
  Result<std::vector<OwedPath>> owed_paths();
  /// Inodes whose content lies in the chunk, partly or whole.
  Result<std::vector<InodeId>> users_of(ChunkKey chunk);

  /// Chunks that were read back and compared, or scrubbed, at `when_ns`.
  Result<void> set_verified(std::span<const object::ChunkId> chunks, std::int64_t when_ns);
  /// The earliest of its chunks' dates; nullopt if one has none. A file without content: nullopt.
  Result<std::optional<std::int64_t>> verified_since(InodeId inode);
  /// A chunk was found damaged or missing on the server: its date is forgotten.
  Result<void> forget_verified(const object::ChunkId& chunk);

  /// fsync=local: all that was recorded before is on stable storage when it returns.
  Result<void> power_safe();

 private:
  struct Impl;
  explicit Tree(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace coffer::meta
