#include "fs/value/posix_acl.h"

#include <algorithm>
#include <cerrno>

#include "common/base/check.h"

namespace coffer {

namespace {

constexpr std::uint32_t kVersion = 2;
constexpr std::uint16_t kOwner = 1;
constexpr std::uint16_t kUser = 2;
constexpr std::uint16_t kOwningGroup = 4;
constexpr std::uint16_t kGroup = 8;
constexpr std::uint16_t kMask = 16;
constexpr std::uint16_t kOthers = 32;
constexpr std::uint16_t kPermissions = 7;
constexpr std::uint32_t kNoId = ~std::uint32_t{0};

bool is_named(std::uint16_t tag) { return tag == kUser || tag == kGroup; }
bool is_tag(std::uint16_t tag) { return tag != 0 && tag <= kOthers && (tag & (tag - 1)) == 0; }

}  // namespace

Result<PosixAcl> PosixAcl::from_xattr(ByteView value) {
  constexpr std::size_t kEntryBytes = 8;
  Reader reader(value);
  const Result<std::uint32_t> version = reader.get<std::uint32_t>();
  if (!version || *version != kVersion || (value.size() - sizeof(kVersion)) % kEntryBytes != 0) return answer(EINVAL);

  PosixAcl acl;
  for (std::size_t count = value.size() / kEntryBytes; count > 0; --count) {
    COFFER_TRY(const std::uint16_t tag, reader.get<std::uint16_t>());
    COFFER_TRY(const std::uint16_t permissions, reader.get<std::uint16_t>());
    COFFER_TRY(const std::uint32_t id, reader.get<std::uint32_t>());
    if (!is_tag(tag) || permissions > kPermissions || (is_named(tag) && id == kNoId)) return answer(EINVAL);
    const std::uint16_t before = acl.entries_.empty() ? 0 : acl.entries_.back().tag;
    if (tag < before || (tag == before && !is_named(tag))) return answer(EINVAL);
    acl.entries_.push_back({tag, permissions, is_named(tag) ? id : kNoId});
  }
  const auto has = [&](std::uint16_t tag) {
    return std::ranges::any_of(acl.entries_, [&](const Entry& entry) { return entry.tag == tag; });
  };
  if (!has(kOwner) || !has(kOwningGroup) || !has(kOthers)) return answer(EINVAL);
  if ((has(kUser) || has(kGroup)) && !has(kMask)) return answer(EINVAL);
  return acl;
}

Bytes PosixAcl::to_xattr() const {
  Bytes value;
  Writer writer(value);
  writer.put(kVersion);
  for (const Entry& entry : entries_) {
    writer.put(entry.tag);
    writer.put(entry.permissions);
    writer.put(entry.id);
  }
  return value;
}

PosixAcl::Entry& PosixAcl::entry(std::uint16_t tag) {
  const auto found = std::ranges::find_if(entries_, [&](const Entry& entry) { return entry.tag == tag; });
  COFFER_CHECK(found != entries_.end());  // from_xattr() has seen to it.
  return *found;
}

PosixAcl::Entry& PosixAcl::group_class() {
  const auto mask = std::ranges::find_if(entries_, [](const Entry& entry) { return entry.tag == kMask; });
  return mask != entries_.end() ? *mask : entry(kOwningGroup);
}

std::uint32_t PosixAcl::mode() const {
  std::uint32_t mode = 0;
  std::uint32_t group = 0;
  for (const Entry& entry : entries_) {  // The mask comes after the owning group.
    const std::uint32_t permissions = entry.permissions;
    if (entry.tag == kOwner) mode |= permissions << 6;
    if (entry.tag == kOwningGroup || entry.tag == kMask) group = permissions << 3;
    if (entry.tag == kOthers) mode |= permissions;
  }
  return mode | group;
}

void PosixAcl::set_mode(std::uint32_t mode) {
  entry(kOwner).permissions = (mode >> 6) & kPermissions;
  group_class().permissions = (mode >> 3) & kPermissions;
  entry(kOthers).permissions = mode & kPermissions;
}

std::uint32_t PosixAcl::narrow(std::uint32_t mode) {
  set_mode(mode & this->mode());
  return this->mode();
}

}  // namespace coffer
