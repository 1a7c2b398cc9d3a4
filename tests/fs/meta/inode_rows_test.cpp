#include "fs/meta/inode_rows.h"

#include <gtest/gtest.h>

#include <sys/stat.h>

#include "fs/meta/read.h"
#include "fs/meta/schema.h"
#include "tests/fs/meta/tree_world.h"

namespace coffer::meta {
namespace {

Attributes file(std::uint64_t inode, std::uint64_t bytes) {
  return {.inode = InodeId(inode), .mode = S_IFREG | 0644, .bytes = bytes, .links = 1};
}

class RowsOfInodes : public ::testing::Test {
 protected:
  RowsOfInodes() {
    Result<db::Database> database = db::Database::open(":memory:", {});
    EXPECT_TRUE(database && migrate(*database));
    connection.emplace(*std::move(database));
    rows().use();
  }

  InodeRows& rows() { return connection->inodes(); }
  std::uint64_t bytes_in_sqlite(std::uint64_t inode) {
    Rows found = connection->query("SELECT bytes FROM inode WHERE ino = ?", inode);
    const Result<bool> is_there = found.step();
    return is_there && *is_there ? found.u64(0) : 0;
  }

  std::optional<Connection> connection;
};

TEST_F(RowsOfInodes, AreLateUntilAStatementNamesTheirTable) {
  ASSERT_TRUE(rows().insert(*connection, file(7, 100)));
  ASSERT_TRUE(rows().update(*connection, file(7, 200)));
  EXPECT_EQ(read::attributes(*connection, InodeId(7))->bytes, 200u);
  ASSERT_TRUE(connection->any("SELECT 1 FROM owed_inode"));  // Another table.
  EXPECT_TRUE(rows().is_any_late());
  EXPECT_EQ(bytes_in_sqlite(7), 200u);
  EXPECT_FALSE(rows().is_any_late());
  ASSERT_TRUE(rows().update(*connection, file(7, 300)));
  EXPECT_EQ(bytes_in_sqlite(7), 300u);
}

TEST_F(RowsOfInodes, AreReadAgainAfterAStatementThatChangesTheirTable) {
  ASSERT_TRUE(rows().insert(*connection, file(7, 100)));
  ASSERT_TRUE(connection->run("UPDATE inode SET bytes = bytes + 1 WHERE ino = 7"));
  EXPECT_EQ(read::attributes(*connection, InodeId(7))->bytes, 101u);
}

TEST_F(RowsOfInodes, ThatWereRemovedAreGoneWhetherSqliteHadThemOrNot) {
  for (const std::uint64_t inode : {7, 8}) ASSERT_TRUE(rows().insert(*connection, file(inode, 100)));
  ASSERT_TRUE(rows().remove(*connection, InodeId(8)));
  ASSERT_EQ(bytes_in_sqlite(7), 100u);
  ASSERT_TRUE(rows().remove(*connection, InodeId(7)));
  for (const std::uint64_t inode : {7, 8}) {
    EXPECT_FALSE(read::attributes(*connection, InodeId(inode)));
    EXPECT_EQ(bytes_in_sqlite(inode), 0u);
  }
}

TEST_F(RowsOfInodes, AreAsInSqliteAfterTheyWereForgotten) {
  ASSERT_TRUE(rows().insert(*connection, file(7, 100)));
  ASSERT_TRUE(rows().write_back(*connection));
  ASSERT_TRUE(rows().update(*connection, file(7, 200)));
  rows().forget();
  EXPECT_EQ(read::attributes(*connection, InodeId(7))->bytes, 100u);
  EXPECT_EQ(bytes_in_sqlite(7), 100u);
}

// Claim: what is known of xattrs is right after each change of them, also of those that a folder hands on.
TEST(KnownXattrs, AreThoseThatAreThere) {
  TreeWorld world;
  const InodeId inode = world.file("file");
  EXPECT_FALSE(world->xattr(inode, "user.a"));
  ASSERT_TRUE(world->set_xattr(inode, "user.a", as_bytes("x"), XattrMode::either));
  EXPECT_EQ(*world->xattr(inode, "user.a"), "x");
  ASSERT_TRUE(world->remove_xattr(inode, "user.a"));
  EXPECT_FALSE(world->xattr(inode, "user.a"));
  ASSERT_TRUE(world->set_xattr(inode, "user.b", as_bytes("y"), XattrMode::either));
  EXPECT_EQ(*world->xattr(inode, "user.b"), "y");
}

// Claim: an operation that fails after it changed rows leaves those of all others as they were. Method: an extent in a
// chunk that is not there is noticed after the file's row is changed.
TEST(RowsOfOtherOperations, SurviveOneThatFails) {
  TreeWorld world;
  const InodeId one = world.file("one");
  const InodeId two = world.file("two");
  world.write(one, 0, 4096);
  const Attributes before = *world->attributes(one);
  Content content;
  content.extents = {{FileOffset(8192), 4096, ChunkKey(999'999), 0, std::nullopt}};
  content.bytes = 1 << 20;
  content.mtime_ns = 5;
  EXPECT_FALSE(world->record(one, content));
  EXPECT_FALSE(world->record(two, content));
  EXPECT_EQ(*world->attributes(one), before);
  EXPECT_EQ(world->attributes(two)->bytes, 0u);
  EXPECT_EQ(world->lookup(kRootInode, "two")->inode, two);
}

}  // namespace
}  // namespace coffer::meta
