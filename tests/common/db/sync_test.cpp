// A database on a disk whose syncs fail: nobody is told twice, and differently, whether something is on it.
#include <gtest/gtest.h>

#include <cerrno>
#include <set>

#include "common/db/database.h"
#include "tests/testing/sim_disk.h"

namespace coffer::db {
namespace {

using testing::SimDisk;

std::int64_t row_count(Database& db) {
  auto count = db.prepare("SELECT count(*) FROM t");
  EXPECT_TRUE(count);
  EXPECT_TRUE(*count->step());
  return count->integer(0);
}

constexpr const char* kInsert = "INSERT INTO t VALUES (zeroblob(3000))";

// Claim: after SQLite could not sync its journal, which at a checkpoint it tells nobody, no later commit says that it
// is on the disk: the journal there has a gap before it.
TEST(ADatabase, SyncsNothingMoreOnceASyncHasFailed) {
  SimDisk disk(1);
  auto db = Database::open("/db", {.disk = &disk});
  ASSERT_TRUE(db) << db.error().what;
  ASSERT_TRUE(db->execute("CREATE TABLE t (x)"));
  ASSERT_TRUE(db->execute("PRAGMA synchronous=NORMAL"));
  ASSERT_TRUE(db->execute(kInsert));
  disk.fail_sync(1);
  (void)db->execute("PRAGMA wal_checkpoint");
  ASSERT_TRUE(disk.sync_has_failed());
  ASSERT_TRUE(db->execute("PRAGMA synchronous=FULL"));
  errno = ENOENT;  // SQLite keeps it as its last one.
  EXPECT_FALSE(db->execute("ATTACH '/no/such/folder' AS other"));
  const Result<void> later = db->execute(kInsert);
  ASSERT_FALSE(later);
  EXPECT_EQ(later.error().fault, Fault::local_io);
  EXPECT_EQ(later.error().code, EIO);
}

// Claim: what a database shows when it is opened is on the disk, also what an earlier process could not sync and the
// page cache has kept.
TEST(ADatabase, ShowsNothingThatAPowerCutCouldTakeWhenItIsOpened) {
  for (unsigned seed = 0; seed < 40; ++seed) {
    SCOPED_TRACE(::testing::Message() << "seed " << seed);
    SimDisk disk(seed);
    {
      auto db = Database::open("/db", {.disk = &disk});
      ASSERT_TRUE(db) << db.error().what;
      ASSERT_TRUE(db->execute("CREATE TABLE t (x)"));
      disk.fail_sync(1);
      ASSERT_FALSE(db->execute(kInsert));
      disk.restart();  // The process alone, before it could close the database.
    }
    std::int64_t shown = 0;
    {
      auto db = Database::open("/db", {.disk = &disk});
      ASSERT_TRUE(db) << db.error().what;
      shown = row_count(*db);
      EXPECT_EQ(shown, 1) << "the page cache has the commit whose sync failed";
      disk.cut_power();
    }
    disk.restart();
    auto db = Database::open("/db", {.disk = &disk});
    ASSERT_TRUE(db) << db.error().what;
    EXPECT_EQ(row_count(*db), shown);
  }
}

}  // namespace
}  // namespace coffer::db
