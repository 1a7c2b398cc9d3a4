// Extended attributes: user., trusted., security. and the two POSIX ACLs, as other file systems have them. The kernel
// checks who may see and set them, but for trusted. in a list.
#include <sys/xattr.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <string>
#include <string_view>

#include "fs/ops/guarded.h"
#include "fs/ops/kernel_view.h"
#include "fs/ops/operations.h"
#include "fs/value/posix_acl.h"

namespace coffer::ops {

namespace {

constexpr std::string_view kTrusted = "trusted.";
constexpr std::array<std::string_view, 3> kPrefixes = {"user.", kTrusted, "security."};

Result<void> check_name(std::string_view name) {
  if (name == kAccessAclXattr || name == kDefaultAclXattr) return {};
  for (const std::string_view prefix : kPrefixes) {
    if (name == prefix) return answer(EINVAL);  // Nothing behind it.
    if (name.starts_with(prefix)) return {};
  }
  return answer(EOPNOTSUPP);
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
    const bool sees_trusted = fuse_req_ctx(req)->uid == 0;  // Who has CAP_SYS_ADMIN and is not root goes without.
    std::string list;
    for (const std::string& name : names) {
      if (name.starts_with(kTrusted) && !sees_trusted) continue;
      list += name;
      list += '\0';
    }
    return hand_out(reply, list, size);
  });
}

/// Whoever sets the access ACL of a file whose group he is not in loses its setgid bit, as by chmod(2). The kernel's
/// wish for that (FUSE_SETXATTR_ACL_KILL_SGID) does not come through libfuse 3.14.
Result<void> clear_setgid(fuse_req_t req, InodeId inode) {
  constexpr int kGroupsMax = 65'536;  // NGROUPS_MAX of Linux.
  const fuse_ctx* caller = fuse_req_ctx(req);
  if (caller->uid == 0) return {};
  COFFER_TRY(const Attributes now, file_system(req).attributes(inode));
  if ((now.mode & S_ISGID) == 0 || caller->gid == now.gid) return {};
  std::vector<gid_t> groups(kGroupsMax);
  const int count = std::clamp(fuse_req_getgroups(req, kGroupsMax, groups.data()), 0, kGroupsMax);
  if (std::ranges::find(groups.begin(), groups.begin() + count, now.gid) != groups.begin() + count) return {};
  meta::AttributeChange change;
  change.mode = now.mode & ~std::uint32_t{S_ISGID};
  COFFER_TRY([[maybe_unused]] const Attributes changed, file_system(req).change(inode, change));
  return {};
}

void op_setxattr(fuse_req_t req, fuse_ino_t inode, const char* name, const char* value, std::size_t size, int flags) {
  guarded(req, [&](Reply& reply) -> Result<void> {
    COFFER_DO(check_name(name));
    COFFER_TRY(const meta::XattrMode mode, xattr_mode(flags));
    if (std::string_view(name) == kAccessAclXattr) COFFER_DO(clear_setgid(req, InodeId(inode)));
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
