// Changes of attributes and xattrs.
#include <sys/stat.h>

#include <cerrno>
#include <utility>

#include "common/base/limits.h"
#include "fs/meta/read.h"
#include "fs/meta/store.h"

namespace coffer::meta {
namespace {

bool is_only_atime(const AttributeChange& change) {
  return change.atime_ns && !change.mode && !change.uid && !change.gid && !change.bytes && !change.mtime_ns &&
         !change.ctime_ns && !change.clears_privileges;
}

Result<void> check_xattr_name(std::string_view name) {
  if (name.empty() || name.size() > limits::kNameBytesMax) return answer(ERANGE);
  if (name.find('\0') != std::string_view::npos) return answer(EINVAL);
  return {};
}

/// The ACL that `value` is, if `name` is that of one.
Result<std::optional<PosixAcl>> acl_in(const Attributes& inode, std::string_view name, ByteView value) {
  if (name != kAccessAclXattr && name != kDefaultAclXattr) return std::optional<PosixAcl>();
  if (S_ISLNK(inode.mode)) return answer(EOPNOTSUPP);
  if (name == kDefaultAclXattr && !read::is_folder(inode)) return answer(EACCES);
  COFFER_TRY(PosixAcl acl, PosixAcl::from_xattr(value));
  return std::optional(std::move(acl));
}

}  // namespace

Result<Attributes> Store::change(InodeId inode, const AttributeChange& change) {
  COFFER_TRY(Attributes row, read::attributes(connection_, inode));
  if (change.bytes) {
    if (read::is_folder(row)) return answer(EISDIR);
    if (!read::is_file(row)) return answer(EINVAL);
    if (*change.bytes > limits::kFileBytesMax) return answer(EFBIG);
  }
  const std::int64_t now = now_ns();
  if (change.mode) row.mode = (row.mode & ~07777u) | (*change.mode & 07777);
  if (change.mode) COFFER_DO(mode_to_acl(row));
  if (change.clears_privileges && !read::is_folder(row)) row.mode &= ~privileges_in(row.mode);
  row.uid = change.uid.value_or(row.uid);
  row.gid = change.gid.value_or(row.gid);
  row.atime_ns = change.atime_ns.value_or(row.atime_ns);
  row.mtime_ns = change.mtime_ns.value_or(change.bytes ? now : row.mtime_ns);
  if (!is_only_atime(change)) {
    row.ctime_ns = change.ctime_ns.value_or(now);
    COFFER_DO(owe(row));
  }
  if (change.bytes) COFFER_DO(truncate(row, *change.bytes));
  COFFER_DO(put_inode(row));
  return row;
}

Result<void> Store::set_xattr(InodeId inode, std::string_view name, ByteView value, XattrMode mode) {
  COFFER_DO(check_xattr_name(name));
  if (value.size() > limits::kXattrBytesMax) return answer(E2BIG);
  COFFER_TRY(Attributes row, read::attributes(connection_, inode));
  COFFER_TRY(const std::optional<PosixAcl> acl, acl_in(row, name, value));
  COFFER_TRY(const bool exists, connection_.any("SELECT 1 FROM xattr WHERE ino = ? AND name = ?", inode, name));
  if (exists && mode == XattrMode::create) return answer(EEXIST);
  if (!exists && mode == XattrMode::replace) return answer(ENODATA);
  {
    Rows rows = connection_.query(
        "SELECT coalesce(sum(length(name) + length(value)), 0) FROM xattr WHERE ino = ? AND name <> ?", inode, name);
    COFFER_DO(rows.step());
    if (rows.u64(0) + name.size() + value.size() > kXattrsBytesMax) return answer(ENOSPC);
  }
  if (acl && name == kAccessAclXattr) {
    COFFER_DO(put_access_acl(row, *acl));
  } else {
    COFFER_DO(put_xattr(inode, name, value));
  }
  row.ctime_ns = now_ns();
  COFFER_DO(put_inode(row));
  return owe(row);
}

Result<void> Store::remove_xattr(InodeId inode, std::string_view name) {
  COFFER_TRY(Attributes row, read::attributes(connection_, inode));
  COFFER_TRY(const bool exists, connection_.any("SELECT 1 FROM xattr WHERE ino = ? AND name = ?", inode, name));
  // Who takes an ACL away wants a file without one, which it is.
  const bool is_acl = name == kAccessAclXattr || name == kDefaultAclXattr;
  if (!exists) return is_acl ? Result<void>() : answer(ENODATA);
  COFFER_DO(connection_.run("DELETE FROM xattr WHERE ino = ? AND name = ?", inode, name));
  row.ctime_ns = now_ns();
  COFFER_DO(put_inode(row));
  return owe(row);
}

}  // namespace coffer::meta
