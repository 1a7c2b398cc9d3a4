// Changes of names: POSIX's rules, link counts and times, and what each change owes.
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>

#include "common/base/limits.h"
#include "fs/meta/read.h"
#include "fs/meta/store.h"

namespace coffer::meta {
namespace {

constexpr std::uint32_t kLinksMax = 1u << 30;

Result<void> check(const NewInode& what) {
  const std::uint32_t type = what.mode & S_IFMT;
  switch (type) {
    case S_IFREG:
    case S_IFDIR:
    case S_IFIFO:
    case S_IFSOCK:
    case S_IFCHR:
    case S_IFBLK: return {};
    case S_IFLNK:
      if (what.symlink_target.size() > limits::kSymlinkBytesMax) return answer(ENAMETOOLONG);
      if (what.symlink_target.empty()) return answer(ENOENT);
      return {};
    default: return answer(EINVAL);
  }
}

}  // namespace

Result<Attributes> Store::living_folder(InodeId inode) {
  COFFER_TRY(const Attributes folder, read::attributes(connection_, inode));
  if (!read::is_folder(folder)) return answer(ENOTDIR);
  if (folder.links == 0) return answer(ENOENT);
  return folder;
}

Result<void> Store::put_inode(const Attributes& inode) { return connection_.inodes().update(connection_, inode); }

Result<void> Store::insert_inode(const Attributes& inode, std::string_view target) {
  ++counters_.files;
  if (last_inode_) last_inode_ = std::max(*last_inode_, inode.inode);
  COFFER_DO(connection_.inodes().insert(connection_, inode));
  if ((inode.mode & S_IFMT) != S_IFLNK) return {};
  return connection_.run("UPDATE inode SET target = ? WHERE ino = ?", target, inode.inode);
}

Result<InodeId> Store::last_inode() {
  if (!last_inode_) {
    Rows rows = connection_.query("SELECT max(ino) FROM inode");
    COFFER_TRY(const bool found, rows.step());
    last_inode_ = InodeId(found ? rows.u64(0) : 0);
  }
  return *last_inode_;
}

Result<void> Store::add_names(std::span<NewName> names) {
  static const std::string kMany =
      insert_many("INSERT OR IGNORE INTO name (parent, name, ino, cookie)", "(?, ?, ?, ?)");
  for (NewName& name : names) name.cookie = counters_.cookie_next++;
  if (names.size() < kRowsAtOnce) {
    for (NewName& name : names) {
      COFFER_DO(connection_.run("INSERT OR IGNORE INTO name (parent, name, ino, cookie) VALUES (?, ?, ?, ?)",
                                name.parent, name.name, name.inode, name.cookie));
      name.is_added = connection_.changes() > 0;
    }
    return {};
  }
  COFFER_DO(connection_.insert(kMany, names, [](const NewName& name, const auto& bind) {
    bind(name.parent, name.name, name.inode, name.cookie);
  }));
  const bool are_all_added = connection_.changes() == static_cast<std::int64_t>(names.size());
  for (NewName& name : names) {
    name.is_added = are_all_added;
    if (are_all_added) continue;
    // A cookie is given once.
    COFFER_TRY(name.is_added, connection_.any("SELECT 1 FROM name WHERE parent = ? AND name = ? AND cookie = ?",
                                              name.parent, name.name, name.cookie));
  }
  return {};
}

Result<void> Store::set_name(const Name& name, InodeId before, InodeId after) {
  if (after == InodeId()) {
    return connection_.run("DELETE FROM name WHERE parent = ? AND name = ?", name.parent, name.name);
  }
  if (before != InodeId()) {
    return connection_.run("UPDATE name SET ino = ?3 WHERE parent = ?1 AND name = ?2", name.parent, name.name, after);
  }
  return connection_.run("INSERT INTO name (parent, name, ino, cookie) VALUES (?, ?, ?, ?)", name.parent, name.name,
                         after, counters_.cookie_next++);
}

Result<void> Store::put_folder(Attributes& folder, std::int64_t now) {
  folder.mtime_ns = now;
  folder.ctime_ns = now;
  COFFER_DO(put_inode(folder));
  return owe(folder);
}

Result<Attributes> Store::create(InodeId parent, std::string_view name, const NewInode& what) {
  COFFER_DO(read::check_name(name));
  COFFER_DO(check(what));
  COFFER_TRY(Attributes folder, living_folder(parent));
  COFFER_TRY(const InodeId existing, read::meaning(connection_, parent, name));
  if (existing != InodeId()) return answer(EEXIST);

  const std::int64_t now = now_ns();
  const std::uint32_t type = what.mode & S_IFMT;
  const bool is_device = type == S_IFCHR || type == S_IFBLK;
  Attributes inode{.inode = InodeId(counters_.inode_next++),
                   .mode = what.mode & (S_IFMT | 07777),
                   .uid = what.uid,
                   .gid = what.gid,
                   .rdev = is_device ? what.rdev : 0,
                   .bytes = type == S_IFLNK ? what.symlink_target.size() : 0,
                   .links = type == S_IFDIR ? 2u : 1u,
                   .atime_ns = now,
                   .mtime_ns = now,
                   .ctime_ns = now,
                   .btime_ns = now};
  if ((folder.mode & S_ISGID) != 0) {
    inode.gid = folder.gid;
    if (type == S_IFDIR) inode.mode |= S_ISGID;
  }
  if (type == S_IFDIR) ++folder.links;
  COFFER_TRY(const bool has_acl, inherit(parent, what, inode));
  COFFER_DO(insert_inode(inode, what.symlink_target));
  if (!has_acl) connection_.inodes().found_no_xattrs(inode.inode);
  COFFER_DO(set_name({parent, name}, InodeId(), inode.inode));
  COFFER_DO(owe_new(inode.inode));
  COFFER_DO(owe_name({parent, name}, InodeId(), inode.inode, 0, false));
  COFFER_DO(put_folder(folder, now));
  return inode;
}

Result<Attributes> Store::link(InodeId inode, InodeId new_parent, std::string_view name) {
  COFFER_DO(read::check_name(name));
  COFFER_TRY(Attributes target, read::attributes(connection_, inode));
  if (read::is_folder(target)) return answer(EPERM);
  if (target.links == 0) return answer(ENOENT);
  if (target.links >= kLinksMax) return answer(EMLINK);
  COFFER_TRY(Attributes folder, living_folder(new_parent));
  COFFER_TRY(const InodeId existing, read::meaning(connection_, new_parent, name));
  if (existing != InodeId()) return answer(EEXIST);

  const std::int64_t now = now_ns();
  ++target.links;
  target.ctime_ns = now;
  COFFER_DO(put_inode(target));
  COFFER_DO(set_name({new_parent, name}, InodeId(), inode));
  COFFER_DO(owe(target));
  COFFER_DO(owe_name({new_parent, name}, InodeId(), inode, 0, false));
  COFFER_DO(put_folder(folder, now));
  return target;
}

Result<void> Store::unlink(InodeId parent, std::string_view name) {
  COFFER_DO(read::check_name(name));
  COFFER_TRY(Attributes folder, living_folder(parent));
  COFFER_TRY(const InodeId inode, read::meaning(connection_, parent, name));
  if (inode == InodeId()) return answer(ENOENT);
  COFFER_TRY(Attributes target, read::attributes(connection_, inode));
  if (read::is_folder(target)) return answer(EISDIR);

  const std::int64_t now = now_ns();
  COFFER_TRY(const std::uint64_t group, group_of({parent, name}));
  COFFER_DO(set_name({parent, name}, inode, InodeId()));
  COFFER_DO(owe_name({parent, name}, inode, InodeId(), group, false));
  COFFER_DO(lose_name(target, {parent, name}, group, now));
  return put_folder(folder, now);
}

Result<void> Store::rmdir(InodeId parent, std::string_view name) {
  COFFER_DO(read::check_name(name));
  COFFER_TRY(Attributes folder, living_folder(parent));
  COFFER_TRY(const InodeId inode, read::meaning(connection_, parent, name));
  if (inode == InodeId()) return answer(ENOENT);
  COFFER_TRY(Attributes target, read::attributes(connection_, inode));
  if (!read::is_folder(target)) return answer(ENOTDIR);
  COFFER_TRY(const bool is_filled, connection_.any("SELECT 1 FROM name WHERE parent = ? LIMIT 1", inode));
  if (is_filled) return answer(ENOTEMPTY);

  const std::int64_t now = now_ns();
  COFFER_TRY(const std::uint64_t group, group_of({parent, name}));
  COFFER_DO(set_name({parent, name}, inode, InodeId()));
  COFFER_DO(owe_name({parent, name}, inode, InodeId(), group, false));
  COFFER_DO(lose_last_name(target, now));
  --folder.links;
  return put_folder(folder, now);
}

Result<void> Store::lose_name(Attributes& inode, const Name& name, std::uint64_t group, std::int64_t now) {
  if (inode.links <= 1 || read::is_folder(inode)) return lose_last_name(inode, now);
  --inode.links;
  inode.ctime_ns = now;
  COFFER_DO(put_inode(inode));
  COFFER_DO(owe(inode));
  return keep_reachable(inode.inode, name, group);
}

Result<void> Store::lose_last_name(Attributes& inode, std::int64_t now) {
  COFFER_DO(owe_deletion(inode.inode));
  if (!pins_.outlives_its_names(inode.inode)) return drop_inode(inode, true);
  inode.links = 0;
  inode.ctime_ns = now;
  COFFER_DO(put_inode(inode));
  COFFER_DO(connection_.run("UPDATE inode SET unlinked = 1 WHERE ino = ?", inode.inode));
  return connection_.run(
      "UPDATE chunk SET wanted = wanted - uses FROM "
      "(SELECT chunk AS used, count(*) AS uses FROM extent WHERE ino = ? GROUP BY chunk) WHERE key = used",
      inode.inode);
}

Result<void> Store::drop_unlinked(InodeId inode) {
  Result<Attributes> found = read::attributes(connection_, inode);
  if (!found && found.error().fault == Fault::answer) return {};
  if (!found) return std::move(found).error();
  if (found->links > 0 || pins_.is_pinned(inode)) return {};
  return drop_inode(*found, false);
}

Result<void> Store::drop_inode(const Attributes& inode, bool was_wanted) {
  Uses uses;
  COFFER_DO(for_each(connection_.query("SELECT chunk, count(*) FROM extent WHERE ino = ? GROUP BY chunk", inode.inode),
                     [&](const Rows& row) { uses[ChunkKey(row.integer(0))] = -row.integer(1); }));
  if (!uses.empty()) COFFER_DO(connection_.run("DELETE FROM extent WHERE ino = ?", inode.inode));
  COFFER_DO(count_uses(uses, was_wanted));
  COFFER_DO(connection_.run("DELETE FROM xattr WHERE ino = ?", inode.inode));
  COFFER_DO(connection_.inodes().remove(connection_, inode.inode));
  --counters_.files;
  counters_.bytes -= inode.allocated_bytes;
  return {};
}

}  // namespace coffer::meta
