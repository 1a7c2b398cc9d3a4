// Extended attributes.
//
// POSIX ACLs are answered with EOPNOTSUPP: the kernel checks modes for us, and it would not know of an ACL that we only
// kept. cp -a and rsync -A then go on without them. Other names are kept as they come.
#include <sys/xattr.h>

#include <cerrno>
#include <string>
#include <string_view>

#include "fs/ops/guarded.h"
#include "fs/ops/kernel_view.h"
#include "fs/ops/operations.h"

namespace coffer::ops {

namespace {

constexpr std::string_view kAclPrefix = "system.posix_acl_";

Result<void> check_name(std::string_view name) {
  if (name.starts_with(kAclPrefix)) return answer(EOPNOTSUPP);
  return {};
}

Result<meta::XattrMode> xattr_mode(int flags) {
  switch (flags) {
    case 0: return meta::XattrMode::either;
    case XATTR_CREATE: return meta::XattrMode::create;
    case XATTR_REPLACE: return meta::XattrMode::replace;
    default: return answer(EINVAL);
  }
}

/// `size` 0 asks how long the value is.
Result<void> hand_out(Reply& reply, std::string_view value, std::size_t size) {
  if (size == 0) {
    reply.xattr_bytes(value.size());
    return {};
  }
  if (value.size() > size) return answer(ERANGE);
  reply.bytes(as_bytes(value));
  return {};
}

void op_getxattr(fuse_req_t req, fuse_ino_t inode, const char* name_text, std::size_t size) {
  const std::string_view name = name_text;
  if (name == files::kSha256Xattr) {  // Reads the whole file.
    return guarded_waiting(req, [req, inode, size](Reply& reply) -> Result<void> {
      COFFER_TRY(const std::string value,
                 file_system(req).xattr(InodeId(inode), files::kSha256Xattr, reply.stop_token()));
      return hand_out(reply, value, size);
    });
  }
  if (name == files::kLevelXattr && file_system(req).is_open_for_writing(InodeId(inode))) {
    return guarded_waiting(req, [req, inode, size](Reply& reply) -> Result<void> {
      COFFER_DO(push_kernel_pages(context(req), InodeId(inode)));  // Else it would be that of less than was written.
      COFFER_TRY(const std::string value, file_system(req).xattr(InodeId(inode), files::kLevelXattr));
      return hand_out(reply, value, size);
    });
  }
  guarded(req, [&](Reply& reply) -> Result<void> {
    COFFER_DO(check_name(name));
    COFFER_TRY(const std::string value, file_system(req).xattr(InodeId(inode), name));
    return hand_out(reply, value, size);
  });
}

void op_listxattr(fuse_req_t req, fuse_ino_t inode, std::size_t size) {
  guarded(req, [&](Reply& reply) -> Result<void> {
    COFFER_TRY(const std::vector<std::string> names, file_system(req).xattrs(InodeId(inode)));
    std::string list;
    for (const std::string& name : names) {
      list += name;
      list += '\0';
    }
    return hand_out(reply, list, size);
  });
}

void op_setxattr(fuse_req_t req, fuse_ino_t inode, const char* name, const char* value, std::size_t size, int flags) {
  guarded(req, [&](Reply& reply) -> Result<void> {
    COFFER_DO(check_name(name));
    COFFER_TRY(const meta::XattrMode mode, xattr_mode(flags));
    COFFER_DO(file_system(req).set_xattr(InodeId(inode), name, as_bytes({value, size}), mode));
    reply.done();
    return {};
  });
}

void op_removexattr(fuse_req_t req, fuse_ino_t inode, const char* name) {
  guarded(req, [&](Reply& reply) -> Result<void> {
    COFFER_DO(check_name(name));
    COFFER_DO(file_system(req).remove_xattr(InodeId(inode), name));
    reply.done();
    return {};
  });
}

}  // namespace

void set_xattr_operations(fuse_lowlevel_ops& table) {
  table.getxattr = op_getxattr;
  table.listxattr = op_listxattr;
  table.setxattr = op_setxattr;
  table.removexattr = op_removexattr;
}

}  // namespace coffer::ops
