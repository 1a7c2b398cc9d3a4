#include "fs/value/posix_acl.h"

#include <gtest/gtest.h>

#include <cerrno>
#include <initializer_list>
#include <vector>

#include "tests/testing/seeded_random.h"

namespace coffer {
namespace {

struct Entry {
  std::uint16_t tag;
  std::uint16_t permissions;
  std::uint32_t id = ~std::uint32_t{0};
};
constexpr std::uint16_t kOwner = 1, kUser = 2, kOwningGroup = 4, kGroup = 8, kMask = 16, kOthers = 32;

Bytes xattr(const std::vector<Entry>& entries, std::uint32_t version = 2) {
  Bytes value;
  Writer writer(value);
  writer.put(version);
  for (const Entry& entry : entries) {
    writer.put(entry.tag);
    writer.put(entry.permissions);
    writer.put(entry.id);
  }
  return value;
}

PosixAcl acl(const std::vector<Entry>& entries) { return *PosixAcl::from_xattr(xattr(entries)); }

bool is_valid(const std::vector<Entry>& entries, std::uint32_t version = 2) {
  const Result<PosixAcl> acl = PosixAcl::from_xattr(xattr(entries, version));
  if (!acl) {
    EXPECT_EQ(acl.error().code, EINVAL);
  }
  return acl.has_value();
}

TEST(APosixAcl, IsTakenOnlyWhole) {
  EXPECT_TRUE(is_valid({{kOwner, 7}, {kOwningGroup, 5}, {kOthers, 0}}));
  EXPECT_TRUE(is_valid(
      {{kOwner, 7}, {kUser, 1, 9}, {kUser, 2, 3}, {kOwningGroup, 5}, {kGroup, 0, 1}, {kMask, 7}, {kOthers, 0}}));
  EXPECT_FALSE(is_valid({}));
  EXPECT_FALSE(is_valid({{kOwner, 7}, {kOwningGroup, 5}, {kOthers, 0}}, 1)) << "another version";
  EXPECT_FALSE(is_valid({{kOwner, 7}, {kOwningGroup, 5}})) << "no others";
  EXPECT_FALSE(is_valid({{kOwningGroup, 5}, {kOwner, 7}, {kOthers, 0}})) << "out of order";
  EXPECT_FALSE(is_valid({{kOwner, 7}, {kOwner, 7}, {kOwningGroup, 5}, {kOthers, 0}})) << "two owners";
  EXPECT_FALSE(is_valid({{kOwner, 7}, {kUser, 7, 1}, {kOwningGroup, 5}, {kOthers, 0}})) << "no mask";
  EXPECT_FALSE(is_valid({{kOwner, 7}, {kUser, 7}, {kOwningGroup, 5}, {kMask, 7}, {kOthers, 0}})) << "nobody";
  EXPECT_FALSE(is_valid({{kOwner, 8}, {kOwningGroup, 5}, {kOthers, 0}})) << "no such permission";
  EXPECT_FALSE(is_valid({{kOwner, 7}, {kOwningGroup, 5}, {kOthers, 0}, {64, 0}})) << "no such tag";
  Bytes cut = xattr({{kOwner, 7}, {kOwningGroup, 5}, {kOthers, 0}});
  for (; !cut.empty(); cut.pop_back()) {
    if (cut.size() < 28) {
      EXPECT_FALSE(PosixAcl::from_xattr(cut).has_value()) << cut.size();
    }
  }
}

TEST(APosixAcl, IsGivenBackAsItCame) {
  const Bytes value = xattr({{kOwner, 7}, {kUser, 1, 9}, {kOwningGroup, 5}, {kMask, 7}, {kOthers, 4}});
  EXPECT_EQ(PosixAcl::from_xattr(value)->to_xattr(), value);
}

TEST(APosixAcl, ShowsItsMaskAsTheGroupOfTheMode) {
  EXPECT_EQ(acl({{kOwner, 7}, {kOwningGroup, 5}, {kOthers, 1}}).mode(), 0751u);
  PosixAcl masked = acl({{kOwner, 6}, {kUser, 7, 9}, {kOwningGroup, 5}, {kMask, 2}, {kOthers, 0}});
  EXPECT_EQ(masked.mode(), 0620u);
  masked.set_mode(0471);
  EXPECT_EQ(masked.to_xattr(), xattr({{kOwner, 4}, {kUser, 7, 9}, {kOwningGroup, 5}, {kMask, 7}, {kOthers, 1}}));
}

TEST(APosixAcl, NarrowsModeAndItselfToWhatBothAllow) {
  PosixAcl inherited = acl({{kOwner, 7}, {kUser, 7, 9}, {kOwningGroup, 5}, {kMask, 6}, {kOthers, 5}});
  EXPECT_EQ(inherited.narrow(0677), 0665u);
  EXPECT_EQ(inherited.to_xattr(), xattr({{kOwner, 6}, {kUser, 7, 9}, {kOwningGroup, 5}, {kMask, 6}, {kOthers, 5}}));
  EXPECT_EQ(inherited.narrow(0040), 0040u);
}

TEST(APosixAcl, SurvivesAnyBytes) {
  testing::SeededRandom random(1);
  for (int i = 0; i < 20'000; ++i) {
    Bytes value(random.below(60));
    for (std::byte& byte : value) byte = std::byte(random.below(4) == 0 ? random.below(256) : random.below(3));
    if (value.size() >= 4) value[0] = std::byte{2}, value[1] = value[2] = value[3] = std::byte{0};
    const Result<PosixAcl> acl = PosixAcl::from_xattr(value);
    if (acl) {
      EXPECT_EQ(acl->to_xattr().size(), value.size());
    }
  }
}

}  // namespace
}  // namespace coffer
