#include "fs/meta/check.h"

#include <algorithm>

#include "tests/fs/meta/tree_world.h"

namespace coffer::meta {
namespace {

/// A small tree with a bit of everything, closed.
struct Small {
  Small() {
    world.folder("folder");
    world.folder("folder/below");
    const InodeId file = world.file("folder/file");
    world.write(file, 0, 1000);
    world.write(file, 5000, 1000);
    world.link("folder/file", "second");
    world.make("symlink", S_IFLNK | 0777);
    EXPECT_TRUE(world->set_xattr(file, "user.x", as_bytes("y"), XattrMode::either));
    world.store_all();
    world.commit_all();
    world.write(world.file("owed"), 0, 500);
    world.close();
  }
  void change(const char* sql) {
    auto db = db::Database::open(world.path(), {});
    ASSERT_TRUE(db);
    ASSERT_TRUE(db->execute(sql)) << sql;
    ASSERT_EQ(db->changes() > 0, true) << sql;
  }
  TreeWorld world;
};

TEST(CheckTree, FindsASoundTreeWellAndListsWhatIsOwed) {
  Small small;
  const auto report = check_tree(small.world.path());
  ASSERT_TRUE(report);
  EXPECT_EQ(report->damage, std::vector<std::string>());
  EXPECT_EQ(report->files, 5u);
  EXPECT_EQ(report->owed_chunks.size(), 1u);
  EXPECT_GT(report->head.seq, 0u);
  EXPECT_FALSE(check_tree(small.world.path() + ".none"));
}

// Claim: each kind of contradiction between rows is found, and what it touches is named.
TEST(CheckTree, FindsEachContradiction) {
  const std::vector<std::pair<const char*, const char*>> damages = {
      {"UPDATE name SET ino = 999 WHERE name = x'66696c65'", "lead to inodes that are not there"},
      {"UPDATE name SET parent = 4 WHERE name = x'7365636f6e64'", "no folder"},
      {"UPDATE name SET parent = 3 WHERE name = x'666f6c646572'", "circle"},
      {"UPDATE name SET name = x'612f62' WHERE name = x'7365636f6e64'", "malformed"},
      {"UPDATE inode SET mode = 4096 WHERE ino = 1", "the root"},
      {"UPDATE inode SET mode = 0 WHERE ino = 4", "no type"},
      {"INSERT INTO name VALUES (1, x'7878', 2, 999)", "several names"},
      {"UPDATE inode SET links = 7 WHERE ino = 4", "link counts"},
      {"UPDATE inode SET target = NULL WHERE target IS NOT NULL", "no target"},
      {"UPDATE extent SET ino = 2 WHERE at = 5000", "no file"},
      {"UPDATE inode SET bytes = 10 WHERE ino = 4", "beyond the end of their file"},
      {"UPDATE extent SET bytes = 5001 WHERE at = 0 AND ino = 4", "overlap"},
      {"UPDATE extent SET chunk = 99 WHERE at = 5000", "chunks that are not there"},
      {"UPDATE extent SET chunk_offset = 1 WHERE at = 5000", "beyond the end of their chunk"},
      {"UPDATE inode SET allocated = 1 WHERE ino = 4", "sums"},
      {"UPDATE chunk SET refs = 5 WHERE key = 1", "counted wrongly"},
      {"UPDATE chunk SET state = 9 WHERE key = 1", "malformed"},
      {"INSERT INTO piece VALUES (x'00', 77, 0, 1)", "pieces"},
      {"UPDATE xattr SET ino = 77", "xattrs"},
      {"UPDATE owed_inode SET unstored = 3 WHERE unstored > 0", "wait for wrongly"},
      {"UPDATE state SET inode_next = 2", "counters"},
      {"UPDATE state SET head_seq = head_seq + 1", "pinned"},
      {"DELETE FROM state", "counters"},
  };
  for (const auto& [sql, what] : damages) {
    SCOPED_TRACE(sql);
    Small small;
    small.change(sql);
    const auto report = check_tree(small.world.path());
    ASSERT_TRUE(report);
    const std::string named = what;  // clang 14 captures no structured binding.
    EXPECT_TRUE(std::ranges::any_of(report->damage, [&](const std::string& sentence) {
      return sentence.find(named) != std::string::npos;
    })) << ::testing::PrintToString(report->damage);
  }
}

TEST(CheckTree, NamesTheFilesThatAreTouched) {
  Small small;
  small.change("UPDATE extent SET chunk = 99 WHERE at = 5000");
  const auto report = check_tree(small.world.path());
  EXPECT_EQ(report->damaged_paths, (std::vector<std::string>{"/folder/file", "/second"}));
}

// Claim: a tree 100,000 folders deep is examined without a stack that grows with it, a circle of them too.
TEST(CheckTree, ExaminesATreeThatIsVeryDeep) {
  TreeWorld world;
  world.close();
  auto db = db::Database::open(world.path(), {.sync = db::Sync::off});
  ASSERT_TRUE(db->execute(
      "BEGIN; WITH RECURSIVE n (i) AS (SELECT 2 UNION ALL SELECT i + 1 FROM n WHERE i < 100001) INSERT INTO inode "
      "SELECT i, 16877, 0, 0, 0, 0, 0, iif(i = 100001, 2, 3), 0, 0, 0, 0, 0, NULL FROM n;"
      "WITH RECURSIVE n (i) AS (SELECT 2 UNION ALL SELECT i + 1 FROM n WHERE i < 100001) INSERT INTO name "
      "SELECT i - 1, x'64', i, i + 100 FROM n;"
      "UPDATE inode SET links = 3 WHERE ino = 1;"
      "UPDATE state SET inode_next = 100002, cookie_next = 200000, files = 100000; COMMIT"));
  auto report = check_tree(world.path());
  ASSERT_TRUE(report);
  EXPECT_EQ(report->damage, std::vector<std::string>());
  EXPECT_EQ(report->files, 100'000u);
  ASSERT_TRUE(db->execute("UPDATE name SET parent = 100001 WHERE ino = 50000"));
  report = check_tree(world.path());
  EXPECT_FALSE(report->is_well());
}

}  // namespace
}  // namespace coffer::meta
