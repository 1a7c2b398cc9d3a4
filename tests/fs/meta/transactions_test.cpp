#include "fs/meta/transactions.h"

#include <gtest/gtest.h>

#include <fstream>
#include <string>

#include "fs/meta/schema.h"
#include "tests/testing/seeded_random.h"
#include "tests/testing/temp_dir.h"

namespace coffer::meta {
namespace {

/// A database with the tree's tables, of which only `xattr` is used here: one row for each operation.
class Transacted {
 public:
  explicit Transacted(std::string folder) : folder_(std::move(folder)) {
    Result<db::Database> database = db::Database::open(folder_ + "/t.db", {.sync = db::Sync::normal});
    EXPECT_TRUE(database && migrate(*database));
    connection.emplace(*std::move(database));
    Result<std::unique_ptr<RedoLog>> log = RedoLog::open(os::real_disk(), folder_ + "/t.db-redo");
    EXPECT_TRUE(log);
    transactions.emplace(*connection, *std::move(log));
    recovered = transactions->recover();
  }

  Result<void> put(int inode, std::size_t value_bytes = 10, Sharing sharing = Sharing::shared) {
    COFFER_DO(transactions->begin(sharing));
    const Bytes value(value_bytes, std::byte{7});
    Result<void> done =
        connection->run("INSERT INTO xattr VALUES (?, ?, ?)", inode, std::string_view("name"), ByteView(value));
    if (done) done = transactions->commit();
    if (!done) transactions->roll_back();
    return done;
  }
  std::int64_t count() {
    Rows rows = connection->query("SELECT count(*) FROM xattr");
    const Result<bool> found = rows.step();
    EXPECT_TRUE(found && *found);
    return rows.integer(0);
  }
  /// What a process finds that starts after this one was killed now.
  std::unique_ptr<Transacted> killed(const testing::TempDir& into) {
    for (const char* end : {"-redo", "", "-wal"}) {
      std::filesystem::copy_file(folder_ + "/t.db" + end, (into / (std::string("t.db") + end)).string());
    }
    return std::make_unique<Transacted>(into.path().string());
  }

  std::optional<Connection> connection;
  std::optional<Transactions> transactions;
  Result<void> recovered;

 private:
  std::string folder_;
};

class SharedTransactions : public ::testing::Test {
 protected:
  testing::TempDir folder_, other_;
  Transacted here_{folder_.path().string()};
};

TEST_F(SharedTransactions, LoseNothingThatWasAnsweredToAKill) {
  for (int i = 1; i <= 50; ++i) ASSERT_TRUE(here_.put(i));
  EXPECT_TRUE(here_.transactions->is_open());
  EXPECT_EQ(here_.killed(other_)->count(), 50);
}

TEST_F(SharedTransactions, AreNotRunAgainOnceSqliteHasThem) {
  ASSERT_TRUE(here_.put(1));
  ASSERT_TRUE(here_.transactions->settle());
  EXPECT_FALSE(here_.transactions->is_open());
  ASSERT_TRUE(here_.put(2, 10, Sharing::alone));
  const auto other = here_.killed(other_);  // Running the first again would fail: its key is there.
  EXPECT_TRUE(other->recovered);
  EXPECT_EQ(other->count(), 2);
}

TEST_F(SharedTransactions, UndoAnOperationThatFailsAndNoOther) {
  ASSERT_TRUE(here_.put(1));
  EXPECT_FALSE(here_.put(1));
  ASSERT_TRUE(here_.put(2));
  EXPECT_EQ(here_.count(), 2);
  EXPECT_EQ(here_.killed(other_)->count(), 2);
}

TEST_F(SharedTransactions, TakeOperationsThatAreTooLargeForTheLog) {
  ASSERT_TRUE(here_.put(1));
  ASSERT_TRUE(here_.put(2, 5u << 20));
  ASSERT_TRUE(here_.put(3));
  EXPECT_EQ(here_.killed(other_)->count(), 3);
}

TEST_F(SharedTransactions, CommitBeforeTheLogIsFull) {
  for (int i = 1; i <= 3000; ++i) ASSERT_TRUE(here_.put(i, 4096)) << i;
  EXPECT_EQ(here_.count(), 3000);
  EXPECT_EQ(here_.killed(other_)->count(), 3000);
}

// Claim: where SQLite has no room and undoes the whole transaction, all that was answered stays, and it goes on once
// there is room. Method: SQLite's own bound on pages stands for the full disk.
TEST_F(SharedTransactions, KeepWhatWasAnsweredWhereSqliteFindsNoRoom) {
  int answered = 0;
  ASSERT_TRUE(here_.put(++answered));
  ASSERT_TRUE(here_.transactions->settle());
  ASSERT_TRUE(here_.connection->database().execute("PRAGMA max_page_count=60"));
  Result<void> last;
  for (int i = 2; i < 1000; ++i) {
    last = here_.put(i, 2000);
    if (!last) break;
    ++answered;
  }
  ASSERT_FALSE(last);
  EXPECT_EQ(last.error().fault, Fault::full);
  EXPECT_EQ(here_.count(), answered);
  EXPECT_EQ(here_.killed(other_)->count(), answered);

  ASSERT_TRUE(here_.connection->database().execute("PRAGMA max_page_count=100000"));
  ASSERT_TRUE(here_.put(answered + 1, 2000));
  ASSERT_TRUE(here_.transactions->settle());
  EXPECT_EQ(here_.count(), answered + 1);
}

// Claim: whatever is left of the log's file, what runs is the operations from the first on up to some point.
TEST_F(SharedTransactions, RunAPrefixOfWhateverIsLeftOfTheLog) {
  for (int i = 1; i <= 20; ++i) ASSERT_TRUE(here_.put(i));
  const std::string log = (folder_ / "t.db-redo").string();
  std::ifstream in(log, std::ios::binary);
  const std::string whole((std::istreambuf_iterator<char>(in)), {});
  testing::SeededRandom random(1);
  for (int round = 0; round < 60; ++round) {
    std::string damaged = whole;
    const std::size_t at = random.below(static_cast<std::uint32_t>(whole.size()));
    if (round % 2 == 0) {
      damaged.resize(at);
    } else {
      damaged[at] = static_cast<char>(damaged[at] ^ 0x10);
    }
    SCOPED_TRACE(::testing::Message() << "round " << round << ", byte " << at);
    std::ofstream(log, std::ios::binary | std::ios::trunc) << damaged;
    const testing::TempDir into;
    const auto other = here_.killed(into);
    ASSERT_TRUE(other->recovered);
    const std::int64_t count = other->count();
    EXPECT_LT(count, 21);
    Rows rows = other->connection->query("SELECT count(*) FROM xattr WHERE ino <= ?", count);
    ASSERT_TRUE(rows.step());
    EXPECT_EQ(rows.integer(0), count);
  }
}

TEST_F(SharedTransactions, IgnoreTheLogOfAnotherTree) {
  for (int i = 1; i <= 5; ++i) ASSERT_TRUE(here_.put(i));
  std::filesystem::copy_file((folder_ / "t.db-redo").string(), (other_ / "t.db-redo").string());
  EXPECT_EQ(Transacted(other_.path().string()).count(), 0);
}

}  // namespace
}  // namespace coffer::meta
