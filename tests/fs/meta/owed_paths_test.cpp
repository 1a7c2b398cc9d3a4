// What is owed, path by path.
#include <gmock/gmock.h>

#include "tests/fs/meta/tree_world.h"

namespace coffer::meta {
namespace {

using ::testing::ElementsAre;

/// "path what bytes", in the order in which they are listed.
std::vector<std::string> list(TreeWorld& world) {
  const Result<std::vector<OwedPath>> paths = world->owed_paths();
  EXPECT_TRUE(paths);
  std::vector<std::string> lines;
  for (const OwedPath& owed : *paths) {
    std::string line = owed.path;
    if (owed.content) line += " content";
    if (owed.attributes) line += " attributes";
    if (owed.name) line += owed.removed ? " removal" : " name";
    if (owed.bytes > 0) line += " " + std::to_string(owed.bytes);
    lines.push_back(line);
  }
  std::ranges::sort(lines);
  return lines;
}

TEST(OwedPaths, SayWhatOfEachPathIsOwed) {
  TreeWorld world;
  const InodeId folder = world.folder("folder");
  const InodeId changed = world.file("folder/changed");
  world.file("old");
  world.write(changed, 0, 1000);
  EXPECT_THAT(list(world), ElementsAre("/ attributes", "/folder attributes name",
                                       "/folder/changed content attributes name 1000", "/old attributes name"));
  world.store_all();
  world.commit_all();
  EXPECT_TRUE(list(world).empty());

  world.write(changed, 100, 50);
  ASSERT_EQ(world.rename("old", "folder/new"), 0);
  EXPECT_THAT(list(world), ElementsAre("/ attributes", "/folder attributes", "/folder/changed content attributes 50",
                                       "/folder/new attributes name", "/old removal"));
  EXPECT_EQ(world->owed_paths()->front().path, "/folder/changed") << "the oldest first";
  ASSERT_EQ(world.unlink("folder/changed"), 0);
  ASSERT_EQ(world.unlink("folder/new"), 0);
  ASSERT_EQ(world.rmdir("folder"), 0);
  EXPECT_THAT(list(world), ElementsAre("/ attributes", "/folder removal", "/old removal"));
  EXPECT_NE(folder, changed);
}

TEST(OwedPaths, AreKnownInFlightAndForSeveralNamesOfOneFile) {
  TreeWorld world;
  const InodeId file = world.file("a");
  ASSERT_EQ(world.link("a", "b"), 0);
  world.write(file, 0, 10);
  world.store_all();
  world.draft();
  world.write(file, 5, 10);
  const std::vector<std::string> lines = list(world);
  EXPECT_THAT(lines, ElementsAre("/ attributes", "/a content attributes name 15", "/b name"));
  EXPECT_THAT(*world->users_of(ChunkKey(1)), ElementsAre(file));
}

}  // namespace
}  // namespace coffer::meta
