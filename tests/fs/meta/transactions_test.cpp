#include "fs/meta/transactions.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>
#include <set>
#include <string>

#include "fs/meta/schema.h"
#include "tests/testing/seeded_random.h"
#include "tests/testing/sim_disk.h"
#include "tests/testing/temp_dir.h"

namespace coffer::meta {
namespace {

/// A database with the tree's tables, of which only `xattr` is used here: one row for each operation.
class Transacted {
 public:
  explicit Transacted(std::string folder, os::Disk& disk = os::real_disk()) : folder_(std::move(folder)) {
    Result<db::Database> database = db::Database::open(folder_ + "/t.db", {.sync = db::Sync::normal, .disk = &disk});
    EXPECT_TRUE(database && migrate(*database));
    connection.emplace(*std::move(database));
    Result<std::unique_ptr<RedoLog>> log = RedoLog::open(disk, folder_ + "/t.db-redo");
    EXPECT_TRUE(log);
    transactions.emplace(*connection, *std::move(log), [] { return Result<void>(); });
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
  /// Which operations are there; empty as well where that cannot be read.
  std::set<std::int64_t> found() {
    std::set<std::int64_t> inodes;
    if (!transactions->readable()) return inodes;
    EXPECT_TRUE(
        for_each(connection->query("SELECT ino FROM xattr"), [&](const Rows& row) { inodes.insert(row.integer(0)); }));
    return inodes;
  }
  /// As SQLite does by itself where a page cannot be read, whoever reads it.
  void lose_the_transaction() {
    if (connection->database().is_in_transaction()) (void)connection->run("ROLLBACK");
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

// ---- where SQLite undoes by itself --------------------------------------------------------------------------------

TEST_F(SharedTransactions, SurviveThatSqliteUndoesThemBetweenOperations) {
  ASSERT_TRUE(here_.put(1));
  here_.lose_the_transaction();
  EXPECT_EQ(here_.found(), (std::set<std::int64_t>{1}));
  here_.lose_the_transaction();
  ASSERT_TRUE(here_.put(2));
  EXPECT_EQ(here_.killed(other_)->count(), 2);
  ASSERT_TRUE(here_.put(3, 10, Sharing::alone));
  EXPECT_EQ(here_.count(), 3);
}

TEST_F(SharedTransactions, SurviveThatSqliteUndoesThemBeforeItShallCommit) {
  ASSERT_TRUE(here_.put(1));
  here_.lose_the_transaction();
  ASSERT_TRUE(here_.transactions->settle());
  EXPECT_EQ(here_.count(), 1);
  ASSERT_TRUE(here_.put(2));
  EXPECT_EQ(here_.killed(other_)->count(), 2);
}

// Claim: an operation under which SQLite undid the transaction fails, even if it did not notice, and leaves nothing;
// and what is answered next is kept.
TEST_F(SharedTransactions, FailAnOperationUnderWhichSqliteUndoesThem) {
  for (const Sharing sharing : {Sharing::shared, Sharing::alone}) {
    SCOPED_TRACE(sharing == Sharing::shared ? "shared" : "alone");
    const int first = sharing == Sharing::shared ? 1 : 3;
    ASSERT_TRUE(here_.put(first));
    ASSERT_TRUE(here_.transactions->begin(sharing));
    ASSERT_TRUE(here_.connection->run("DELETE FROM xattr WHERE ino = ?", first));
    here_.lose_the_transaction();
    EXPECT_FALSE(here_.transactions->commit());
    here_.transactions->roll_back();
    ASSERT_TRUE(here_.put(first + 1));
    EXPECT_EQ(here_.found().size(), static_cast<std::size_t>(first + 1));
    const testing::TempDir into;
    EXPECT_EQ(here_.killed(into)->found().size(), static_cast<std::size_t>(first + 1));
  }
}

// ---- where a call fails -------------------------------------------------------------------------------------------

struct Answers {
  std::set<std::int64_t> done, failed;
};

constexpr int kSteps = 10;

/// The first `steps` of a few operations of all kinds, each of which may be answered with an error. SQLite loses the
/// transaction once: what it then has is what the log knows.
Answers operate(Transacted& on, int steps) {
  Answers answers;
  const auto put = [&](int inode, Sharing sharing) {
    (on.put(inode, 10, sharing) ? answers.done : answers.failed).insert(inode);
  };
  for (int step = 1; step <= steps; ++step) {
    switch (step) {
      case 2: put(step, Sharing::alone); break;
      case 4: (void)on.transactions->settle(); break;
      case 7: on.lose_the_transaction(); break;
      case 9: (void)on.transactions->power_safe(); break;
      default: put(step, Sharing::shared);
    }
  }
  return answers;
}

/// On disks of which one call fails, the first, the second, and so on until none is left, for processes that are killed
/// after one step, two, and so on: all that was answered, and no more, is there at once; after the kill all that was
/// answered is.
void expect_nothing_lost(void (testing::SimDisk::*fail)(std::uint64_t), bool (testing::SimDisk::*has_failed)() const) {
  for (int steps = 1; steps <= kSteps; ++steps) {
    bool failed = true;
    for (std::uint64_t call = 1; failed; ++call) {
      SCOPED_TRACE(::testing::Message() << "the disk fails at call " << call << ", a kill after step " << steps);
      testing::SimDisk disk(call);
      Transacted here("", disk);
      ASSERT_TRUE(here.recovered);
      (disk.*fail)(call);
      const Answers answers = operate(here, steps);
      EXPECT_EQ(here.found(), answers.done);
      failed = (disk.*has_failed)();
      disk.restart();  // The process alone is gone.
      Transacted next("", disk);
      ASSERT_TRUE(next.recovered) << next.recovered.error().what;
      const std::set<std::int64_t> found = next.found();
      EXPECT_TRUE(std::ranges::includes(found, answers.done)) << ::testing::PrintToString(found);
    }
  }
}

TEST(TransactionsOnADiskThatFails, LoseNothingToAWriteThatWasDoneAndSaysThatItWasNot) {
  expect_nothing_lost(&testing::SimDisk::fail_change, &testing::SimDisk::change_has_failed);
}

TEST(TransactionsOnADiskThatFails, LoseNothingToASyncThatFails) {
  expect_nothing_lost(&testing::SimDisk::fail_sync, &testing::SimDisk::sync_has_failed);
}

}  // namespace
}  // namespace coffer::meta
