// ACLs in the tree: what is kept of them, what they do to modes, and that they travel.
#include "fs/value/posix_acl.h"

#include "tests/fs/meta/invariants.h"

namespace coffer::meta {
namespace {

/// Owner `owner`, user 1000 and the mask `user`, owning group `group`, others `others`.
Bytes acl(std::uint16_t owner, std::uint16_t user, std::uint16_t group, std::uint16_t others) {
  constexpr std::uint32_t kNoId = ~std::uint32_t{0};
  Bytes value;
  Writer writer(value);
  writer.put(std::uint32_t{2});
  const auto put = [&](std::uint16_t tag, std::uint16_t permissions, std::uint32_t id) {
    writer.put(tag);
    writer.put(permissions);
    writer.put(id);
  };
  put(1, owner, kNoId);
  put(2, user, 1000);
  put(4, group, kNoId);
  put(16, user, kNoId);
  put(32, others, kNoId);
  return value;
}
Bytes minimal_acl(std::uint16_t owner, std::uint16_t group, std::uint16_t others) {
  Bytes value = acl(owner, 0, group, others);
  value.erase(value.begin() + 28, value.begin() + 36);
  value.erase(value.begin() + 12, value.begin() + 20);
  return value;
}

int set(TreeWorld& world, std::string_view path, std::string_view name, const Bytes& value) {
  return errno_of(world->set_xattr(world.inode(path), name, value, XattrMode::either));
}
std::string get(TreeWorld& world, std::string_view path, std::string_view name) {
  const Result<std::string> value = world->xattr(world.inode(path), name);
  return value ? *value : "none";
}
std::string text(const Bytes& value) { return std::string(as_text(value)); }

TEST(TreeAcls, SetTheModeAndFollowIt) {
  TreeWorld world;
  world.file("file");
  EXPECT_EQ(set(world, "file", kAccessAclXattr, acl(7, 5, 7, 1)), 0);
  EXPECT_EQ(world.stat("file").mode, std::uint32_t{S_IFREG | 0751});
  ASSERT_TRUE(world->change(world.inode("file"), {.mode = 04620}));
  EXPECT_EQ(world.stat("file").mode, std::uint32_t{S_IFREG | 04620});
  EXPECT_EQ(get(world, "file", kAccessAclXattr), text([] {
              Bytes value = acl(6, 5, 7, 0);
              value[4 + 3 * 8 + 2] = std::byte{2};  // The mask alone is what chmod's group becomes.
              return value;
            }()));
}

TEST(TreeAcls, AreNotKeptWhereTheModeSaysItAll) {
  TreeWorld world;
  world.file("file");
  ASSERT_EQ(set(world, "file", kAccessAclXattr, acl(7, 5, 7, 1)), 0);
  ASSERT_EQ(set(world, "file", kAccessAclXattr, minimal_acl(6, 4, 0)), 0);
  EXPECT_EQ(get(world, "file", kAccessAclXattr), "none");
  EXPECT_EQ(world.stat("file").mode, std::uint32_t{S_IFREG | 0640});
}

TEST(TreeAcls, AreRefusedWhereTheyHaveNoMeaning) {
  TreeWorld world;
  world.file("file");
  world.folder("folder");
  world.make("link", S_IFLNK | 0777);
  EXPECT_EQ(set(world, "file", kDefaultAclXattr, acl(7, 5, 7, 1)), EACCES);
  EXPECT_EQ(set(world, "link", kAccessAclXattr, acl(7, 5, 7, 1)), EOPNOTSUPP);
  EXPECT_EQ(set(world, "file", kAccessAclXattr, Bytes(3)), EINVAL);
  EXPECT_EQ(set(world, "folder", kDefaultAclXattr, Bytes(28)), EINVAL);
  EXPECT_EQ(errno_of(world->remove_xattr(world.inode("file"), kAccessAclXattr)), 0) << "it has none, as was wanted";
}

TEST(TreeAcls, AreHandedOnInsteadOfTheUmask) {
  TreeWorld world;
  const InodeId folder = world.folder("folder");
  ASSERT_EQ(set(world, "folder", kDefaultAclXattr, acl(7, 6, 5, 4)), 0);
  ASSERT_TRUE(world->create(folder, "file", {.mode = S_IFREG | 0666, .symlink_target = "", .umask = 077}));
  ASSERT_TRUE(world->create(folder, "sub", {.mode = S_IFDIR | 0777, .symlink_target = "", .umask = 077}));
  ASSERT_TRUE(world->create(folder, "link", {.mode = S_IFLNK | 0777, .symlink_target = "x", .umask = 077}));
  ASSERT_TRUE(world->create(kRootInode, "other", {.mode = S_IFREG | 04666, .symlink_target = "", .umask = 027}));
  EXPECT_EQ(world.stat("folder/file").mode, std::uint32_t{S_IFREG | 0664});
  EXPECT_EQ(get(world, "folder/file", kAccessAclXattr), text(acl(6, 6, 5, 4)));
  EXPECT_EQ(get(world, "folder/file", kDefaultAclXattr), "none");
  EXPECT_EQ(world.stat("folder/sub").mode, std::uint32_t{S_IFDIR | 0764});
  EXPECT_EQ(get(world, "folder/sub", kDefaultAclXattr), text(acl(7, 6, 5, 4)));
  EXPECT_EQ(world.stat("folder/link").mode, std::uint32_t{S_IFLNK | 0777});
  EXPECT_EQ(get(world, "folder/link", kAccessAclXattr), "none");
  EXPECT_EQ(world.stat("other").mode, std::uint32_t{S_IFREG | 04640});
}

TEST(TreeAcls, TravelToAnotherClient) {
  TreeWorld world;
  const InodeId folder = world.folder("folder");
  ASSERT_EQ(set(world, "folder", kDefaultAclXattr, acl(7, 6, 5, 4)), 0);
  ASSERT_TRUE(world->create(folder, "file", {.mode = S_IFREG | 0666}));
  TreeWorld other;
  for (const Bytes& commit : world.commit_all()) ASSERT_TRUE(other.apply(commit));
  EXPECT_EQ(get(other, "folder", kDefaultAclXattr), text(acl(7, 6, 5, 4)));
  EXPECT_EQ(get(other, "folder/file", kAccessAclXattr), text(acl(6, 6, 5, 4)));
}

}  // namespace
}  // namespace coffer::meta
