#include "common/db/page_sums.h"

#include <gtest/gtest.h>
#include <sqlite3.h>

#include <filesystem>
#include <fstream>

#include "common/db/database.h"
#include "tests/testing/seeded_random.h"
#include "tests/testing/temp_dir.h"

namespace coffer::db {
namespace {

class PageSums : public ::testing::Test {
 protected:
  std::string path() const { return (dir_ / "test.db").string(); }

  /// A table of 3,000 rows, all of it in the database file.
  void make() {
    auto db = Database::open(path(), {});
    ASSERT_TRUE(db);
    ASSERT_TRUE(db->execute("CREATE TABLE t (id INTEGER PRIMARY KEY, value TEXT)"));
    ASSERT_TRUE(
        db->execute("WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 3000) "
                    "INSERT INTO t SELECT i, 'value of row ' || i FROM n"));
    ASSERT_TRUE(db->execute("PRAGMA wal_checkpoint(TRUNCATE)"));
  }

  /// All rows are as they were made; an Error where one cannot be read. Wrong rows fail the test.
  Result<void> read_all() {
    COFFER_TRY(Database db, Database::open(path(), {}));
    COFFER_TRY(Statement rows, db.prepare("SELECT id, value FROM t ORDER BY id"));
    for (std::int64_t i = 1;; ++i) {
      COFFER_TRY(const bool more, rows.step());
      if (!more) {
        EXPECT_EQ(i, 3001);
        return {};
      }
      EXPECT_EQ(rows.integer(0), i);
      EXPECT_EQ(rows.text(1), "value of row " + std::to_string(i));
    }
  }

  void flip(std::uint64_t offset, int bit) {
    std::fstream file(path(), std::ios::in | std::ios::out | std::ios::binary);
    file.seekg(static_cast<std::streamoff>(offset));
    const int byte = file.get();
    file.seekp(static_cast<std::streamoff>(offset));
    file.put(static_cast<char>(byte ^ (1 << bit)));
  }

  testing::TempDir dir_;
};

// Claim: whichever bit of the file is flipped, no row is ever read wrongly: it is an Error, Fault::corrupt, or the bit
// is one that nothing is read from.
TEST_F(PageSums, TurnEveryFlippedBitIntoAnError) {
  make();
  const std::uint64_t bytes = std::filesystem::file_size(path());
  testing::SeededRandom random(7);
  int errors = 0;
  for (int round = 0; round < 300; ++round) {
    const std::uint64_t offset = round < 100 ? static_cast<std::uint64_t>(round) : random.below(bytes);
    const int bit = static_cast<int>(random.below(8));
    SCOPED_TRACE(::testing::Message() << "round " << round << " offset " << offset << " bit " << bit);
    flip(offset, bit);
    const Result<void> read = read_all();
    if (!read) {
      ++errors;
      EXPECT_EQ(read.error().fault, Fault::corrupt) << read.error().what;
    }
    flip(offset, bit);
  }
  EXPECT_GT(errors, 290);
  EXPECT_TRUE(read_all());
}

TEST_F(PageSums, LetChangesAndCheckpointsThrough) {
  make();
  {
    auto db = Database::open(path(), {});
    ASSERT_TRUE(db->execute("UPDATE t SET value = 'x' || value; DELETE FROM t WHERE id % 2 = 0"));
    ASSERT_TRUE(db->execute("UPDATE t SET value = substr(value, 2)"));
    ASSERT_TRUE(
        db->execute("WITH RECURSIVE n (i) AS (SELECT 2 UNION ALL SELECT i + 2 FROM n WHERE i < 3000) "
                    "INSERT INTO t SELECT i, 'value of row ' || i FROM n"));
    ASSERT_TRUE(db->execute("VACUUM"));
  }
  EXPECT_TRUE(read_all());
}

// Claim: SQLite's own tool can copy a database that is in use, its journal included, and the copy is good.
TEST_F(PageSums, StandACopyBySqlitesOwnTool) {
  make();
  auto db = Database::open(path(), {});
  ASSERT_TRUE(db->execute("UPDATE t SET value = 'x' || value"));
  ASSERT_TRUE(db->execute("UPDATE t SET value = substr(value, 2) WHERE id > 5"));
  sqlite3* from = nullptr;
  sqlite3* to = nullptr;
  ASSERT_EQ(sqlite3_open(path().c_str(), &from), SQLITE_OK);
  ASSERT_EQ(sqlite3_open((path() + ".copy").c_str(), &to), SQLITE_OK);
  sqlite3_backup* backup = sqlite3_backup_init(to, "main", from, "main");
  ASSERT_EQ(sqlite3_backup_step(backup, -1), SQLITE_DONE);
  sqlite3_backup_finish(backup);
  sqlite3_close(from);
  sqlite3_close(to);
  auto copy = Database::open(path() + ".copy", {});
  ASSERT_TRUE(copy);
  auto rows = copy->prepare("SELECT count(*) FROM t WHERE value LIKE 'value of row %'");
  ASSERT_TRUE(rows->step());
  EXPECT_EQ(rows->integer(0), 2995);
  ASSERT_TRUE(copy->execute("UPDATE t SET value = ''"));
}

TEST_F(PageSums, ReadADatabaseThatHasNone) {
  sqlite3* plain = nullptr;
  ASSERT_EQ(sqlite3_open(path().c_str(), &plain), SQLITE_OK);
  ASSERT_EQ(sqlite3_exec(plain, "CREATE TABLE t (x); INSERT INTO t VALUES (1)", nullptr, nullptr, nullptr), SQLITE_OK);
  sqlite3_close(plain);
  auto db = Database::open(path(), {});
  ASSERT_TRUE(db) << db.error().what;
  EXPECT_TRUE(db->execute("INSERT INTO t VALUES (2)"));
}

}  // namespace
}  // namespace coffer::db
