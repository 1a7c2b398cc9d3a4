// Names: lookup, and everything that makes, moves or removes one.
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include <cerrno>
#include <cstdio>
#include <string>

#include "fs/ops/guarded.h"
#include "fs/ops/operations.h"

// renameat2(2)'s flags, which libfuse passes on and libc hides without _GNU_SOURCE.
#ifndef RENAME_NOREPLACE
#define RENAME_NOREPLACE (1u << 0)
#define RENAME_EXCHANGE (1u << 1)
#endif

namespace coffer::ops {

namespace {

meta::NewInode new_inode(fuse_req_t req, mode_t mode) {
  const fuse_ctx* caller = fuse_req_ctx(req);
  meta::NewInode what;
  what.mode = mode;
  what.uid = caller->uid;
  what.gid = caller->gid;
  what.umask = static_cast<std::uint32_t>(caller->umask);  // The kernel leaves it to us (FUSE_CAP_DONT_MASK).
  return what;
}

void make(fuse_req_t req, fuse_ino_t parent, const char* name, const meta::NewInode& what) {
  guarded(req, [&](Reply& reply) -> Result<void> {
    COFFER_TRY(const Attributes made, file_system(req).create(InodeId(parent), name, what));
    reply.entry(made);
    return {};
  });
}

/// An NFS server, or open_by_handle_at(2), knows a number and asks for "." and "..", of files too. Numbers are never
/// used again, so one that means nothing any more is not there: the kernel makes ESTALE of it.
Result<Attributes> look_up(files::FileSystem& files, InodeId parent, std::string_view name) {
  if (name == ".") return files.attributes(parent);
  if (name != "..") return files.lookup(parent, name);
  COFFER_TRY(const InodeId above, files.parent_of(parent));
  return files.attributes(above);
}

void op_lookup(fuse_req_t req, fuse_ino_t parent, const char* name) {
  guarded(req, [&](Reply& reply) -> Result<void> {
    Result<Attributes> found = look_up(file_system(req), InodeId(parent), name);
    if (found) {
      reply.entry(*found);
    } else if (found.error().fault == Fault::answer && found.error().code == ENOENT) {
      reply.no_entry();
    } else {
      return std::move(found).error();
    }
    return {};
  });
}

void op_forget(fuse_req_t req, fuse_ino_t inode, std::uint64_t lookups) {
  file_system(req).forget(InodeId(inode), lookups);
  fuse_reply_none(req);
}

void op_forget_multi(fuse_req_t req, std::size_t count, fuse_forget_data* forgets) {
  for (const fuse_forget_data& one : std::span(forgets, count)) {
    file_system(req).forget(InodeId(one.ino), one.nlookup);
  }
  fuse_reply_none(req);
}

void op_mknod(fuse_req_t req, fuse_ino_t parent, const char* name, mode_t mode, dev_t device) {
  meta::NewInode what = new_inode(req, mode);
  what.rdev = device;
  make(req, parent, name, what);
}

void op_mkdir(fuse_req_t req, fuse_ino_t parent, const char* name, mode_t mode) {
  make(req, parent, name, new_inode(req, (mode & 07777u) | S_IFDIR));
}

void op_symlink(fuse_req_t req, const char* target, fuse_ino_t parent, const char* name) {
  meta::NewInode what = new_inode(req, S_IFLNK | 0777u);
  what.symlink_target = target;
  make(req, parent, name, what);
}

void op_link(fuse_req_t req, fuse_ino_t inode, fuse_ino_t new_parent, const char* new_name) {
  guarded(req, [&](Reply& reply) -> Result<void> {
    COFFER_TRY(const Attributes linked, file_system(req).link(InodeId(inode), InodeId(new_parent), new_name));
    reply.entry(linked);
    return {};
  });
}

void op_unlink(fuse_req_t req, fuse_ino_t parent, const char* name) {
  guarded(req, [&](Reply& reply) -> Result<void> {
    COFFER_DO(file_system(req).unlink(InodeId(parent), name));
    reply.done();
    return {};
  });
}

void op_rmdir(fuse_req_t req, fuse_ino_t parent, const char* name) {
  guarded(req, [&](Reply& reply) -> Result<void> {
    COFFER_DO(file_system(req).rmdir(InodeId(parent), name));
    reply.done();
    return {};
  });
}

Result<meta::RenameMode> rename_mode(unsigned flags) {
  switch (flags) {
    case 0: return meta::RenameMode::replace;
    case RENAME_NOREPLACE: return meta::RenameMode::no_replace;
    case RENAME_EXCHANGE: return meta::RenameMode::exchange;
    default: return answer(EINVAL);
  }
}

void op_rename(fuse_req_t req, fuse_ino_t parent, const char* name, fuse_ino_t new_parent, const char* new_name,
               unsigned flags) {
  guarded(req, [&](Reply& reply) -> Result<void> {
    COFFER_TRY(const meta::RenameMode mode, rename_mode(flags));
    COFFER_DO(file_system(req).rename(InodeId(parent), name, InodeId(new_parent), new_name, mode));
    reply.done();
    return {};
  });
}

void op_readlink(fuse_req_t req, fuse_ino_t inode) {
  guarded(req, [&](Reply& reply) -> Result<void> {
    COFFER_TRY(const std::string target, file_system(req).symlink_target(InodeId(inode)));
    file_system(req).touch(InodeId(inode));
    reply.text(target);
    return {};
  });
}

void op_create(fuse_req_t req, fuse_ino_t parent, const char* name, mode_t mode, fuse_file_info* info) {
  guarded(req, [&](Reply& reply) -> Result<void> {
    const meta::NewInode what = new_inode(req, (mode & 07777u) | S_IFREG);
    COFFER_TRY(const files::Opened opened, file_system(req).create_open(InodeId(parent), name, what, info->flags));
    info->fh = opened.handle.value();
    set_caching(file_system(req), opened.attributes.inode, *info);
    reply.created(opened.attributes, *info);
    return {};
  });
}

}  // namespace

void set_name_operations(fuse_lowlevel_ops& table) {
  table.lookup = op_lookup;
  table.forget = op_forget;
  table.forget_multi = op_forget_multi;
  table.mknod = op_mknod;
  table.mkdir = op_mkdir;
  table.symlink = op_symlink;
  table.link = op_link;
  table.unlink = op_unlink;
  table.rmdir = op_rmdir;
  table.rename = op_rename;
  table.readlink = op_readlink;
  table.create = op_create;
}

}  // namespace coffer::ops
