// A POSIX access control list (POSIX.1e draft 17, acl(5)) in the form in which Linux keeps it as an extended attribute.
//
//     at    bytes  field
//     0     4      version   2
//     4     8 each entries   ascending by tag: tag (2 bytes), permissions (2), user or group id (4; ffffffff of others)
//
// Tags: 1 owner, 2 named user, 4 owning group, 8 named group, 16 mask, 32 others. Owner, owning group and others are
// there once each; the mask too, where there is a named entry, and at most once. The mode of a file with an ACL shows
// owner, mask (without one: owning group) and others.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "common/base/bytes.h"
#include "common/base/result.h"

namespace coffer {

inline constexpr std::string_view kAccessAclXattr = "system.posix_acl_access";
/// Of a folder: what is made in it begins with this instead of the caller's umask.
inline constexpr std::string_view kDefaultAclXattr = "system.posix_acl_default";

class PosixAcl {
 public:
  /// EINVAL for what is no valid ACL.
  static Result<PosixAcl> from_xattr(ByteView value);
  Bytes to_xattr() const;

  /// It says no more than a mode does.
  bool is_minimal() const { return entries_.size() == 3; }
  /// 0 … 0777.
  std::uint32_t mode() const;
  /// chmod(2) of a file with this ACL.
  void set_mode(std::uint32_t mode);
  /// This, as a folder's default ACL, becomes the access ACL of what is made there with `mode`: both keep only what the
  /// other allows too. Returns the mode then, 0 … 0777.
  std::uint32_t narrow(std::uint32_t mode);

 private:
  struct Entry {
    std::uint16_t tag;
    std::uint16_t permissions;
    std::uint32_t id;
  };

  Entry& entry(std::uint16_t tag);
  /// The mask, or the owning group where there is none.
  Entry& group_class();

  std::vector<Entry> entries_;
};

}  // namespace coffer
