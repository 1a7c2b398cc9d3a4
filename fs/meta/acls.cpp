// Access control lists: mode and access ACL are two views of one thing, and a folder's default ACL is handed on.
#include <sys/stat.h>

#include "fs/meta/read.h"
#include "fs/meta/store.h"

namespace coffer::meta {

Result<std::optional<PosixAcl>> Store::acl(InodeId inode, std::string_view name) {
  const Result<std::string> value = read::xattr(connection_, inode, name);
  if (!value && value.error().fault == Fault::answer) return std::optional<PosixAcl>();
  if (!value) return value.error();
  Result<PosixAcl> acl = PosixAcl::from_xattr(as_bytes(*value));
  if (!acl) return Error{Fault::corrupt, 0, "an access control list in the tree is none"};
  return std::optional(*std::move(acl));
}

Result<void> Store::put_xattr(InodeId inode, std::string_view name, ByteView value) {
  connection_.inodes().gets_xattr(inode);
  return connection_.run("INSERT OR REPLACE INTO xattr VALUES (?, ?, ?)", inode, name, value);
}

Result<void> Store::put_access_acl(Attributes& inode, const PosixAcl& acl) {
  inode.mode = (inode.mode & ~0777u) | acl.mode();
  if (!acl.is_minimal()) return put_xattr(inode.inode, kAccessAclXattr, acl.to_xattr());
  return connection_.run("DELETE FROM xattr WHERE ino = ? AND name = ?", inode.inode, kAccessAclXattr);
}

Result<void> Store::mode_to_acl(Attributes& inode) {
  COFFER_TRY(std::optional<PosixAcl> acl, this->acl(inode.inode, kAccessAclXattr));
  if (!acl) return {};
  acl->set_mode(inode.mode);
  return put_access_acl(inode, *acl);
}

Result<bool> Store::inherit(InodeId folder, const NewInode& what, Attributes& inode) {
  if (S_ISLNK(inode.mode)) return false;
  COFFER_TRY(std::optional<PosixAcl> acl, this->acl(folder, kDefaultAclXattr));
  if (!acl) {
    inode.mode &= ~(what.umask & 0777);
    return false;
  }
  if (S_ISDIR(inode.mode)) COFFER_DO(put_xattr(inode.inode, kDefaultAclXattr, acl->to_xattr()));
  inode.mode = (inode.mode & ~0777u) | acl->narrow(inode.mode);
  if (!acl->is_minimal()) COFFER_DO(put_xattr(inode.inode, kAccessAclXattr, acl->to_xattr()));
  return S_ISDIR(inode.mode) || !acl->is_minimal();
}

}  // namespace coffer::meta
