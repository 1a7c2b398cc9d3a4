// A tree on a disk that cannot read a page, or sync: what was answered stays.
#include <gtest/gtest.h>

#include <fstream>
#include <string>

#include "tests/fs/meta/tree_world.h"
#include "tests/testing/sim_disk.h"

namespace coffer::meta {
namespace {

/// Turns a bit of each copy of `text` in the file; the same again turns them back.
int flip(const std::string& path, const std::string& text) {
  std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
  const std::string content((std::istreambuf_iterator<char>(file)), {});
  int count = 0;
  for (std::size_t at = content.find(text.substr(1)); at != std::string::npos;
       at = content.find(text.substr(1), at + 1)) {
    file.clear();
    file.seekp(static_cast<std::streamoff>(at) - 1);
    file.put(static_cast<char>(content[at - 1] ^ 1));
    ++count;
  }
  return count;
}

// Claim: where a page cannot be read, at which SQLite undoes all operations that are open, what was answered is still
// there, what comes next is kept, and both outlive a kill. Method: one page goes bad, and is good again afterwards.
TEST(ATreeOnAFailingDisk, LosesNothingThatWasAnsweredToAPageThatCannotBeRead) {
  TreeWorld world;
  const InodeId folder = world.folder("folder");
  const auto name = [](int number) { return "name-" + std::to_string(1000 + number) + std::string(200, 'x'); };
  for (int i = 0; i < 400; ++i) ASSERT_TRUE(world->create(folder, name(i), {.mode = S_IFREG | 0644}));
  world.close();
  world.reopen();  // With nothing in memory.

  ASSERT_TRUE(world->create(kRootInode, "A", {.mode = S_IFREG | 0644}));
  ASSERT_GT(flip(world.path(), name(200)), 0);
  const Result<Attributes> bad = world->lookup(folder, name(200));
  ASSERT_FALSE(bad);
  EXPECT_EQ(bad.error().fault, Fault::corrupt) << bad.error().what;
  ASSERT_GT(flip(world.path(), name(200)), 0);

  EXPECT_TRUE(world->lookup(kRootInode, "A"));
  EXPECT_TRUE(world->create(kRootInode, "B", {.mode = S_IFREG | 0644}));
  world.kill_and_open();
  EXPECT_TRUE(world->lookup(kRootInode, "A"));
  EXPECT_TRUE(world->lookup(kRootInode, "B"));
  EXPECT_TRUE(world->lookup(folder, name(200)));
  EXPECT_TRUE(world->power_safe());
}

// Claim: what was answered before a power_safe() that failed outlives a kill, also where the next process finds in the
// journal what SQLite could not sync. Nothing that is answered after it does less.
TEST(ATreeOnAFailingDisk, LosesNothingToAKillAfterAPowerSafeThatFailed) {
  bool failed = true;
  for (std::uint64_t sync = 1; failed; ++sync) {
    SCOPED_TRACE(::testing::Message() << "sync " << sync << " fails");
    testing::SimDisk disk(sync);
    CountingClock clock;
    DroppedChunks events;
    Result<std::unique_ptr<Tree>> tree = Tree::open("/t.db", clock, events, disk);
    ASSERT_TRUE(tree) << tree.error().what;
    ASSERT_TRUE((*tree)->create(kRootInode, "before", {.mode = S_IFREG | 0644}));
    disk.fail_sync(sync);
    const Result<void> safe = (*tree)->power_safe();
    failed = disk.sync_has_failed();
    EXPECT_NE(safe.has_value(), failed);
    const bool answered = (*tree)->create(kRootInode, "after", {.mode = S_IFREG | 0644}).has_value();
    EXPECT_NE(answered, failed);
    EXPECT_TRUE((*tree)->lookup(kRootInode, "before"));
    disk.restart();  // The process is gone before it could close the tree.
    Result<std::unique_ptr<Tree>> next = Tree::open("/t.db", clock, events, disk);
    ASSERT_TRUE(next) << next.error().what;
    EXPECT_TRUE((*next)->lookup(kRootInode, "before"));
    EXPECT_TRUE(!answered || (*next)->lookup(kRootInode, "after"));
  }
}

}  // namespace
}  // namespace coffer::meta
