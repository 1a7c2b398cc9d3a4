#include <algorithm>

#include "tests/fs/meta/invariants.h"

namespace coffer::meta {
namespace {

std::vector<std::string> names_in(TreeWorld& world, std::string_view path) {
  std::vector<std::string> names;
  const std::vector<Entry> entries = *world->entries(world.inode(path), 0, 1000);
  for (const Entry& entry : entries) names.push_back(entry.name);
  std::sort(names.begin(), names.end());
  return names;
}

TEST(TreeNames, BeginWithARootThatIsNotOwed) {
  TreeWorld world;
  const Attributes root = world.stat("/");
  EXPECT_EQ(root.inode, kRootInode);
  EXPECT_EQ(root.mode, std::uint32_t{S_IFDIR | 0755});
  EXPECT_EQ(root.links, 2u);
  EXPECT_TRUE(world.owed().nothing());
  EXPECT_EQ(*world->parent_of(kRootInode), kRootInode);
}

TEST(TreeNames, AreRefusedWhereNoneCanHaveThem) {
  TreeWorld world;
  const NewInode file{.mode = S_IFREG};
  EXPECT_EQ(errno_of(world->create(kRootInode, "", file)), EINVAL);
  EXPECT_EQ(errno_of(world->create(kRootInode, ".", file)), EINVAL);
  EXPECT_EQ(errno_of(world->create(kRootInode, "..", file)), EINVAL);
  EXPECT_EQ(errno_of(world->create(kRootInode, "a/b", file)), EINVAL);
  EXPECT_EQ(errno_of(world->create(kRootInode, std::string_view("a\0b", 3), file)), EINVAL);
  EXPECT_EQ(errno_of(world->create(kRootInode, std::string(256, 'a'), file)), ENAMETOOLONG);
  EXPECT_EQ(errno_of(world->create(kRootInode, std::string(255, 'a'), file)), 0);
  EXPECT_EQ(errno_of(world->lookup(kRootInode, std::string(256, 'a'))), ENAMETOOLONG);
}

TEST(TreeNames, MayHoldAnyOtherByte) {
  TreeWorld world;
  const std::string name = "\xff\x01\n\"' \x80";
  EXPECT_TRUE(world->create(kRootInode, name, {.mode = S_IFREG}));
  EXPECT_TRUE(world->lookup(kRootInode, name));
  EXPECT_EQ(names_in(world, "/"), std::vector{name});
}

TEST(TreeNames, OfTheSameLettersInAnotherCaseAreOthers) {
  TreeWorld world;
  world.file("a");
  world.file("A");
  EXPECT_NE(world.inode("a"), world.inode("A"));
}

TEST(TreeNames, AnswerAsPosixDoesWhereSomethingIsMissingOrOfAnotherKind) {
  TreeWorld world;
  const InodeId file = world.file("file");
  const NewInode what{.mode = S_IFREG};
  EXPECT_EQ(errno_of(world->lookup(kRootInode, "absent")), ENOENT);
  EXPECT_EQ(errno_of(world->lookup(file, "x")), ENOTDIR);
  EXPECT_EQ(errno_of(world->lookup(InodeId(99), "x")), ENOENT);
  EXPECT_EQ(errno_of(world->create(kRootInode, "file", what)), EEXIST);
  EXPECT_EQ(errno_of(world->create(file, "x", what)), ENOTDIR);
  EXPECT_EQ(errno_of(world->create(InodeId(99), "x", what)), ENOENT);
  EXPECT_EQ(errno_of(world->create(kRootInode, "x", {.mode = 0644})), EINVAL);
  EXPECT_EQ(errno_of(world->entries(file, 0, 10)), ENOTDIR);
  EXPECT_EQ(errno_of(world->attributes(InodeId(99))), ENOENT);
  EXPECT_EQ(world.unlink("absent"), ENOENT);
  EXPECT_EQ(world.rmdir("file"), ENOTDIR);
  world.folder("folder");
  EXPECT_EQ(world.unlink("folder"), EISDIR);
  world.file("folder/x");
  EXPECT_EQ(world.rmdir("folder"), ENOTEMPTY);
  EXPECT_EQ(world.link("folder", "y"), EPERM);
  EXPECT_EQ(world.link("file", "folder"), EEXIST);
}

TEST(TreeNames, OfFoldersCountLinksAndTimesAsPosixDoes) {
  TreeWorld world;
  const Attributes before = world.stat("/");
  const Attributes made = world.make("d", S_IFDIR | 0700);
  const Attributes after = world.stat("/");
  EXPECT_EQ(after.links, before.links + 1);
  EXPECT_EQ(made.links, 2u);
  EXPECT_EQ(after.mtime_ns, made.mtime_ns);
  EXPECT_EQ(after.ctime_ns, made.ctime_ns);
  EXPECT_EQ(after.atime_ns, before.atime_ns);

  world.file("d/f");
  EXPECT_EQ(world.stat("/").mtime_ns, after.mtime_ns) << "only the folder itself has changed";
  EXPECT_EQ(world.stat("d").links, 2u);
  EXPECT_GT(world.stat("d").mtime_ns, made.mtime_ns);

  EXPECT_EQ(world.unlink("d/f"), 0);
  EXPECT_EQ(world.rmdir("d"), 0);
  EXPECT_EQ(world.stat("/").links, before.links);
  EXPECT_GT(world.stat("/").mtime_ns, after.mtime_ns);
}

TEST(TreeNames, HandTheGroupOfASetgidFolderOn) {
  TreeWorld world;
  const InodeId shared = world->create(kRootInode, "d", {.mode = S_IFDIR | 02775, .uid = 1, .gid = 7})->inode;
  const Attributes file = *world->create(shared, "f", {.mode = S_IFREG | 0644, .uid = 2, .gid = 2});
  EXPECT_EQ(file.gid, 7u);
  EXPECT_EQ(file.mode, std::uint32_t{S_IFREG | 0644});
  const Attributes folder = *world->create(shared, "s", {.mode = S_IFDIR | 0755, .uid = 2, .gid = 2});
  EXPECT_EQ(folder.gid, 7u);
  EXPECT_EQ(folder.mode, std::uint32_t{S_IFDIR | 02755});
}

TEST(TreeNames, OfDevicesAndLinksKeepWhatTheyWereMadeWith) {
  TreeWorld world;
  EXPECT_EQ(world->create(kRootInode, "dev", {.mode = S_IFCHR | 0600, .rdev = 0x501})->rdev, 0x501u);
  EXPECT_EQ(world->create(kRootInode, "fifo", {.mode = S_IFIFO | 0600, .rdev = 5})->rdev, 0u);
  const Attributes link = *world->create(kRootInode, "l", {.mode = S_IFLNK | 0777, .symlink_target = "a/../b"});
  EXPECT_EQ(link.bytes, 6u);
  EXPECT_EQ(*world->symlink_target(link.inode), "a/../b");
  EXPECT_EQ(errno_of(world->symlink_target(world.inode("fifo"))), EINVAL);
  EXPECT_EQ(errno_of(world->create(kRootInode, "m", {.mode = S_IFLNK, .symlink_target = ""})), ENOENT);
  EXPECT_EQ(errno_of(world->create(kRootInode, "m", {.mode = S_IFLNK, .symlink_target = std::string(4096, 'x')})),
            ENAMETOOLONG);
}

TEST(TreeNames, OfOneInodeAreEqual) {
  TreeWorld world;
  const InodeId inode = world.file("a");
  const std::int64_t ctime = world.stat("a").ctime_ns;
  EXPECT_EQ(world.link("a", "b"), 0);
  EXPECT_EQ(world.inode("b"), inode);
  EXPECT_EQ(world.stat("a").links, 2u);
  EXPECT_GT(world.stat("a").ctime_ns, ctime);
  EXPECT_EQ(world.unlink("a"), 0);
  EXPECT_EQ(world.stat("b").links, 1u);
  EXPECT_EQ(world.unlink("b"), 0);
  EXPECT_EQ(errno_of(world->attributes(inode)), ENOENT);
}

TEST(TreeNames, OnceLostLeaveAPinnedInodeUntilItsLastPin) {
  TreeWorld world;
  const InodeId inode = world.file("a");
  const ChunkKey chunk = world.write(inode, 0, 100);
  world->pin(inode, 2);
  EXPECT_EQ(world.unlink("a"), 0);
  EXPECT_EQ(world->attributes(inode)->links, 0u);
  EXPECT_EQ(world.extents(inode).size(), 1u);
  EXPECT_TRUE(world->change(inode, {.mode = 0600}));
  EXPECT_EQ(errno_of(world->link(inode, kRootInode, "again")), ENOENT);
  world->unpin(inode);
  EXPECT_TRUE(world->attributes(inode));
  EXPECT_TRUE(world.dropped().take().empty());
  world->unpin(inode);
  EXPECT_EQ(errno_of(world->attributes(inode)), ENOENT);
  EXPECT_EQ(world.dropped().take(), std::vector{chunk});
}

TEST(TreeNames, OnceLostLeaveNothingOfAPinnedInodeAfterARestart) {
  TreeWorld world;
  const InodeId inode = world.file("a");
  const ChunkKey chunk = world.write(inode, 0, 100);
  const InodeId folder = world.folder("d");
  world->pin(inode);
  world->pin(folder);
  EXPECT_EQ(world.unlink("a"), 0);
  EXPECT_EQ(world.rmdir("d"), 0);
  EXPECT_EQ(errno_of(world->create(folder, "x", {.mode = S_IFREG})), ENOENT);
  EXPECT_EQ(errno_of(world->parent_of(folder)), ENOENT);
  world.kill_and_open();
  EXPECT_EQ(errno_of(world->attributes(inode)), ENOENT);
  EXPECT_EQ(errno_of(world->attributes(folder)), ENOENT);
  EXPECT_EQ(world.dropped().take(), std::vector{chunk});
  expect_invariants(world);
}

TEST(TreeNames, AreListedOnceWhateverChangesMeanwhile) {
  TreeWorld world;
  for (int n = 0; n < 50; ++n) world.file("f" + std::to_string(n));
  std::vector<std::string> seen;
  std::uint64_t after = 0;
  for (int page = 0;; ++page) {
    const std::vector<Entry> entries = *world->entries(kRootInode, after, 7);
    if (entries.empty()) break;
    for (const Entry& entry : entries) {
      EXPECT_GE(entry.cookie, kCookieMin);
      EXPECT_GT(entry.cookie, after);
      EXPECT_EQ(entry.attributes, world.stat(entry.name));
      seen.push_back(entry.name);
      after = entry.cookie;
    }
    if (page < 5) {
      EXPECT_EQ(world.unlink(seen.back()), 0);
    }
  }
  std::sort(seen.begin(), seen.end());
  EXPECT_EQ(seen.size(), 50u);
  EXPECT_EQ(std::unique(seen.begin(), seen.end()), seen.end());
}

TEST(TreeNames, MakePaths) {
  TreeWorld world;
  world.folder("a");
  world.folder("a/b");
  const InodeId file = world.file("a/b/c");
  EXPECT_EQ(*world->resolve("/a/b/c"), file);
  EXPECT_EQ(*world->resolve("a//b/c/"), file);
  EXPECT_EQ(*world->resolve(""), kRootInode);
  EXPECT_EQ(*world->resolve("/"), kRootInode);
  EXPECT_EQ(errno_of(world->resolve("a/x/c")), ENOENT);
  EXPECT_EQ(errno_of(world->resolve("a/b/c/d")), ENOTDIR);
  EXPECT_EQ(*world->path_of(file), "a/b/c");
  EXPECT_EQ(*world->path_of(kRootInode), "");
}

// ---- rename ---------------------------------------------------------------------------------------------------------

TEST(Rename, MovesAndCountsLinksAndTimes) {
  TreeWorld world;
  world.folder("a");
  world.folder("b");
  const InodeId moved = world.folder("a/d");
  const Attributes a = world.stat("a");
  const Attributes b = world.stat("b");
  EXPECT_EQ(world.rename("a/d", "b/e"), 0);
  EXPECT_EQ(world.inode("b/e"), moved);
  EXPECT_EQ(world.inode("a/d"), InodeId());
  EXPECT_EQ(world.stat("a").links, a.links - 1);
  EXPECT_EQ(world.stat("b").links, b.links + 1);
  EXPECT_GT(world.stat("a").mtime_ns, a.mtime_ns);
  EXPECT_EQ(world.stat("b").mtime_ns, world.stat("a").mtime_ns);
  EXPECT_EQ(world.stat("b/e").ctime_ns, world.stat("a").mtime_ns);
  EXPECT_EQ(*world->parent_of(moved), world.inode("b"));
  expect_invariants(world);
}

TEST(Rename, ReplacesAFileByAFileAndAnEmptyFolderByAFolder) {
  TreeWorld world;
  const InodeId file = world.file("file");
  const InodeId other = world.file("other");
  EXPECT_EQ(world.rename("file", "other"), 0);
  EXPECT_EQ(world.inode("other"), file);
  EXPECT_EQ(errno_of(world->attributes(other)), ENOENT);

  const InodeId folder = world.folder("folder");
  world.file("folder/x");
  world.folder("empty");
  const std::uint32_t links = world.stat("/").links;
  EXPECT_EQ(world.rename("folder", "empty"), 0);
  EXPECT_EQ(world.inode("empty"), folder);
  EXPECT_EQ(world.stat("/").links, links - 1);
  EXPECT_EQ(world.stat("empty/x").links, 1u);
  expect_invariants(world);
}

TEST(Rename, LeavesAReplacedFileItsOtherNames) {
  TreeWorld world;
  const InodeId old = world.file("old");
  world.link("old", "kept");
  world.file("new");
  EXPECT_EQ(world.rename("new", "old"), 0);
  EXPECT_EQ(world.inode("kept"), old);
  EXPECT_EQ(world.stat("kept").links, 1u);
}

TEST(Rename, RefusesAsPosixDoes) {
  TreeWorld world;
  world.folder("d");
  world.folder("d/s");
  world.folder("full");
  world.file("full/x");
  world.file("f");
  EXPECT_EQ(world.rename("absent", "x"), ENOENT);
  EXPECT_EQ(world.rename("f", "d"), EISDIR);
  EXPECT_EQ(world.rename("d", "f"), ENOTDIR);
  EXPECT_EQ(world.rename("d", "full"), ENOTEMPTY);
  EXPECT_EQ(world.rename("d", "d/s/below"), EINVAL);
  EXPECT_EQ(world.rename("d", "d/below"), EINVAL);
  EXPECT_EQ(world.rename("d/s", "d"), ENOTEMPTY);
  EXPECT_EQ(world.rename("d", "full", RenameMode::no_replace), EEXIST);
  EXPECT_EQ(world.rename("f", "x", RenameMode::exchange), ENOENT);
  EXPECT_EQ(world.rename("d", "d/s", RenameMode::exchange), EINVAL);
  EXPECT_EQ(world.rename("d/s", "d", RenameMode::exchange), EINVAL);
  EXPECT_EQ(errno_of(world->rename(world.inode("f"), "x", kRootInode, "y", RenameMode::replace)), ENOTDIR);
  expect_invariants(world);
}

TEST(Rename, OfTwoNamesOfOneInodeDoesNothing) {
  TreeWorld world;
  world.file("a");
  world.link("a", "b");
  EXPECT_EQ(world.rename("a", "b"), 0);
  EXPECT_EQ(names_in(world, "/"), (std::vector<std::string>{"a", "b"}));
  EXPECT_EQ(world.stat("a").links, 2u);
  EXPECT_EQ(world.rename("a", "a"), 0);
}

TEST(Rename, ExchangesAFileAndAFolder) {
  TreeWorld world;
  const InodeId file = world.file("f");
  world.folder("p");
  const InodeId folder = world.folder("p/d");
  world.file("p/d/x");
  EXPECT_EQ(world.rename("f", "p/d", RenameMode::exchange), 0);
  EXPECT_EQ(world.inode("f"), folder);
  EXPECT_EQ(world.inode("p/d"), file);
  EXPECT_EQ(world.stat("p").links, 2u);
  EXPECT_NE(world.inode("f/x"), InodeId());
  expect_invariants(world);
}

// ---- attributes and xattrs ------------------------------------------------------------------------------------------

TEST(TreeAttributes, ChangeAsTheyAreToldAndCtimeWithThem) {
  TreeWorld world;
  const Attributes before = world.make("f", S_IFREG | 0644);
  const Attributes after = *world->change(before.inode, {.mode = S_IFDIR | 04755, .uid = 3, .gid = 4, .mtime_ns = -5});
  EXPECT_EQ(after.mode, std::uint32_t{S_IFREG | 04755}) << "the type stays";
  EXPECT_EQ(after.uid, 3u);
  EXPECT_EQ(after.gid, 4u);
  EXPECT_EQ(after.mtime_ns, -5);
  EXPECT_GT(after.ctime_ns, before.ctime_ns);
  EXPECT_EQ(after.btime_ns, before.btime_ns);
  EXPECT_EQ(world->change(before.inode, {.ctime_ns = 77})->ctime_ns, 77);
  EXPECT_EQ(*world->attributes(before.inode), world.stat("f"));
}

TEST(TreeAttributes, OwesNothingForAtimeAlone) {
  TreeWorld world;
  const InodeId inode = world.file("f");
  world.commit_all();
  const Attributes before = world.stat("f");
  EXPECT_EQ(world->change(inode, {.atime_ns = 5})->atime_ns, 5);
  EXPECT_EQ(world.stat("f").ctime_ns, before.ctime_ns);
  EXPECT_TRUE(world.owed().nothing());
}

TEST(TreeAttributes, OfAFileAloneCanBeTruncated) {
  TreeWorld world;
  EXPECT_EQ(errno_of(world->change(world.folder("d"), {.bytes = 0})), EISDIR);
  EXPECT_EQ(errno_of(world->change(world.make("fifo", S_IFIFO).inode, {.bytes = 0})), EINVAL);
  EXPECT_EQ(errno_of(world->change(world.file("f"), {.bytes = std::uint64_t{1} << 63})), EFBIG);
}

TEST(TreeXattrs, AreSetReadListedAndRemoved) {
  TreeWorld world;
  const InodeId inode = world.file("f");
  const std::string value("\0\xff!", 3);
  EXPECT_TRUE(world->set_xattr(inode, "user.b", as_bytes(value), XattrMode::create));
  EXPECT_TRUE(world->set_xattr(inode, "user.a", {}, XattrMode::either));
  EXPECT_EQ(*world->xattr(inode, "user.b"), value);
  EXPECT_EQ(*world->xattr(inode, "user.a"), "");
  EXPECT_EQ(*world->xattrs(inode), (std::vector<std::string>{"user.a", "user.b"}));
  EXPECT_EQ(errno_of(world->set_xattr(inode, "user.b", {}, XattrMode::create)), EEXIST);
  EXPECT_EQ(errno_of(world->set_xattr(inode, "user.c", {}, XattrMode::replace)), ENODATA);
  EXPECT_TRUE(world->remove_xattr(inode, "user.b"));
  EXPECT_EQ(errno_of(world->remove_xattr(inode, "user.b")), ENODATA);
  EXPECT_EQ(errno_of(world->xattr(inode, "user.b")), ENODATA);
  EXPECT_EQ(errno_of(world->xattr(InodeId(99), "user.b")), ENOENT);
}

TEST(TreeXattrs, AreBounded) {
  TreeWorld world;
  const InodeId inode = world.file("f");
  const std::string value(64 << 10, 'v');
  EXPECT_EQ(errno_of(world->set_xattr(inode, "", {}, XattrMode::either)), ERANGE);
  EXPECT_EQ(errno_of(world->set_xattr(inode, std::string(256, 'n'), {}, XattrMode::either)), ERANGE);
  EXPECT_EQ(errno_of(world->set_xattr(inode, "n", as_bytes(value + "v"), XattrMode::either)), E2BIG);
  for (int n = 0; n < 15; ++n) {
    EXPECT_TRUE(world->set_xattr(inode, "n" + std::to_string(n), as_bytes(value), XattrMode::either));
  }
  EXPECT_EQ(errno_of(world->set_xattr(inode, "last", as_bytes(value), XattrMode::either)), ENOSPC);
  EXPECT_TRUE(world->set_xattr(inode, "n0", as_bytes(value), XattrMode::either)) << "what is replaced counts no more";
}

}  // namespace
}  // namespace coffer::meta
