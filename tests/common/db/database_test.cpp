#include "common/db/database.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <fstream>
#include <thread>

#include "tests/testing/eventually.h"
#include "tests/testing/temp_dir.h"

namespace coffer::db {
namespace {

using testing::TempDir;

constexpr const char* kSchema = "CREATE TABLE t (id INTEGER PRIMARY KEY, name TEXT, bytes BLOB)";

Database open_or_die(const std::string& path, const Options& options = {}) {
  Result<Database> db = Database::open(path, options);
  EXPECT_TRUE(db) << (db ? "" : db.error().what);
  return std::move(db).value();
}

std::int64_t count(Database& db) {
  Result<Statement> statement = db.prepare("SELECT count(*) FROM t");
  EXPECT_TRUE(statement && statement->step());
  return statement->integer(0);
}

std::string pragma(Database& db, const char* sql) {
  Result<Statement> statement = db.prepare(sql);
  EXPECT_TRUE(statement && statement->step());
  return std::string(statement->text(0));
}

TEST(Database, GivesBackWhatWasBound) {
  Database db = open_or_die(":memory:");
  ASSERT_TRUE(db.migrate({kSchema}));
  Result<Statement> insert = db.prepare("INSERT INTO t (id, name, bytes) VALUES (?, ?, ?)");
  ASSERT_TRUE(insert);
  const std::string with_zero("a\0b", 3);
  ASSERT_TRUE(insert->bind(1, 5).bind(2, with_zero).bind(3, as_bytes("blob")).run());
  EXPECT_EQ(db.last_insert_rowid(), 5);
  EXPECT_EQ(db.changes(), 1);
  ASSERT_TRUE(insert->bind(1, 6).bind(2, std::string_view()).bind(3, ByteView()).run());
  ASSERT_TRUE(insert->bind(1, 7).bind_null(2).bind_null(3).run());

  Result<Statement> find = db.prepare("SELECT name, bytes FROM t ORDER BY id");
  ASSERT_TRUE(find);
  ASSERT_TRUE(*find->step());
  EXPECT_EQ(find->text(0), with_zero);
  EXPECT_EQ(as_text(find->blob(1)), "blob");
  ASSERT_TRUE(*find->step());
  EXPECT_FALSE(find->is_null(0));
  EXPECT_EQ(find->text(0), "");
  EXPECT_FALSE(find->is_null(1));
  EXPECT_TRUE(find->blob(1).empty());
  ASSERT_TRUE(*find->step());
  EXPECT_TRUE(find->is_null(0));
  EXPECT_FALSE(*find->step());
  EXPECT_TRUE(*find->step()) << "the end resets, so that the statement can be used again";
}

TEST(Database, KeepsItsFilesToTheirOwner) {
  const TempDir dir;
  const mode_t before = umask(0);
  Database db = open_or_die(dir / "db");
  EXPECT_TRUE(db.migrate({kSchema}));
  umask(before);
  for (const char* name : {"db", "db-wal", "db-shm"}) {
    struct stat status {};
    ASSERT_EQ(stat((dir / name).c_str(), &status), 0) << name;
    EXPECT_EQ(status.st_mode & 0777u, 0600u) << name;
  }
}

TEST(Database, WritesAheadAndIsSetUpAsItsHeaderSays) {
  const TempDir dir;
  Database db = open_or_die(dir / "db", {.sync = Sync::normal});
  EXPECT_EQ(pragma(db, "PRAGMA journal_mode"), "wal");
  EXPECT_EQ(pragma(db, "PRAGMA synchronous"), "1");
  EXPECT_EQ(pragma(db, "PRAGMA foreign_keys"), "0");
  EXPECT_EQ(pragma(db, "PRAGMA mmap_size"), "0");
}

TEST(Database, AppliesEachMigrationOnce) {
  const TempDir dir;
  {
    Database db = open_or_die(dir / "db");
    ASSERT_TRUE(db.migrate({kSchema, "INSERT INTO t (name) VALUES ('one')"}));
  }
  Database db = open_or_die(dir / "db");
  ASSERT_TRUE(db.migrate({kSchema, "INSERT INTO t (name) VALUES ('one')"}));
  EXPECT_EQ(count(db), 1);
  ASSERT_TRUE(db.migrate({kSchema, "INSERT INTO t (name) VALUES ('one')", "INSERT INTO t (name) VALUES ('two')"}));
  EXPECT_EQ(count(db), 2);
}

TEST(Database, RefusesAFileFromANewerVersion) {
  Database db = open_or_die(":memory:");
  ASSERT_TRUE(db.migrate({kSchema, "SELECT 1"}));
  EXPECT_EQ(db.migrate({kSchema}).error().fault, Fault::refused);
}

TEST(Database, LeavesNothingOfAMigrationThatFails) {
  Database db = open_or_die(":memory:");
  EXPECT_FALSE(db.migrate({"CREATE TABLE a (x); INSERT INTO absent VALUES (1)"}));
  EXPECT_TRUE(db.execute("CREATE TABLE a (x)"));
}

TEST(Database, CallsDamageCorrupt) {
  const TempDir dir;
  std::ofstream(dir / "db") << std::string(10'000, 'x');
  EXPECT_EQ(Database::open(dir / "db", {}).error().fault, Fault::corrupt);
  Database empty = open_or_die(":memory:");
  EXPECT_EQ(empty.prepare("SELECT * FROM t").error().fault, Fault::corrupt);
}

TEST(Database, NeverTellsAValueInAnError) {
  Database db = open_or_die(":memory:");
  ASSERT_TRUE(db.execute("CREATE TABLE t (name TEXT UNIQUE CHECK (name <> 'secret'))"));
  Result<Statement> insert = db.prepare("INSERT INTO t VALUES (?)");
  const Result<void> failed = insert->bind(1, std::string_view("secret")).run();
  ASSERT_FALSE(failed);
  EXPECT_EQ(failed.error().what.find("secret"), std::string::npos) << failed.error().what;
  EXPECT_TRUE(insert->bind(1, std::string_view("other")).run()) << "a failed step resets";
}

TEST(Database, SaysWhereItCannotOpen) {
  const TempDir dir;
  EXPECT_EQ(Database::open(dir / "absent/db", {}).error().code, ENOENT);
  EXPECT_EQ(Database::open(dir / "absent", {.read_only = true}).error().fault, Fault::local_io);
}

TEST(Database, CallsAFullFileSystemFull) {
  Database db = open_or_die(":memory:");
  ASSERT_TRUE(db.execute("CREATE TABLE t (b BLOB); PRAGMA max_page_count=4"));
  Result<Statement> insert = db.prepare("INSERT INTO t VALUES (zeroblob(1000000))");
  EXPECT_EQ(insert->run().error().fault, Fault::full);
}

TEST(Database, ReadsButDoesNotWriteWhenOpenedReadOnly) {
  const TempDir dir;
  Database writer = open_or_die(dir / "db");
  ASSERT_TRUE(writer.migrate({kSchema, "INSERT INTO t (name) VALUES ('one')"}));
  Database reader = open_or_die(dir / "db", {.read_only = true});
  EXPECT_TRUE(reader.migrate({kSchema, "INSERT INTO t (name) VALUES ('one')"}));
  EXPECT_EQ(count(reader), 1);
  EXPECT_FALSE(reader.execute("DELETE FROM t"));
  EXPECT_EQ(count(writer), 1);
}

TEST(Database, TellsWhenAnotherConnectionHasCommitted) {
  const TempDir dir;
  Database a = open_or_die(dir / "db");
  ASSERT_TRUE(a.migrate({kSchema}));
  Database b = open_or_die(dir / "db");
  const std::int64_t before = *a.data_version();
  ASSERT_TRUE(a.execute("INSERT INTO t (name) VALUES ('mine')"));
  EXPECT_EQ(*a.data_version(), before);
  ASSERT_TRUE(b.execute("INSERT INTO t (name) VALUES ('other')"));
  EXPECT_NE(*a.data_version(), before);
}

TEST(Transaction, IsRolledBackUnlessCommitted) {
  Database db = open_or_die(":memory:");
  ASSERT_TRUE(db.migrate({kSchema}));
  {
    Result<Transaction> transaction = Transaction::begin(db);
    ASSERT_TRUE(db.execute("INSERT INTO t (name) VALUES ('gone')"));
  }
  EXPECT_EQ(count(db), 0);
  {
    Result<Transaction> transaction = Transaction::begin(db);
    ASSERT_TRUE(db.execute("INSERT INTO t (name) VALUES ('stays')"));
    ASSERT_TRUE(transaction->commit());
  }
  EXPECT_EQ(count(db), 1);
}

TEST(Transaction, WaitsForAnotherWriterAndThenGivesUp) {
  const TempDir dir;
  Database a = open_or_die(dir / "db");
  Database b = open_or_die(dir / "db", {.busy_timeout = std::chrono::milliseconds(10)});
  Result<Transaction> held = Transaction::begin(a);
  ASSERT_TRUE(held);
  EXPECT_EQ(Transaction::begin(b).error().fault, Fault::local_io);
  ASSERT_TRUE(held->commit());
  EXPECT_TRUE(Transaction::begin(b));
}

TEST(DatabaseDeathTest, StopsAtAStatementThatDoesNotCompile) {
  Database db = open_or_die(":memory:");
  EXPECT_DEATH((void)db.prepare("SELEKT 1"), "broken invariant");
}

}  // namespace
}  // namespace coffer::db
