#include "server/oplog/oplog.h"

#include <gtest/gtest.h>

#include <cerrno>
#include <set>

#include "common/db/database.h"
#include "tests/testing/faulty_disk.h"
#include "tests/testing/seeded_random.h"
#include "tests/testing/temp_dir.h"

namespace coffer::oplog {
namespace {

using namespace std::chrono_literals;

struct SetClock : os::Clock {
  os::WallTime time{std::chrono::hours(1000)};
  std::chrono::hours jump{0};  ///< Of the time of day alone.
  os::WallTime now() override { return time + jump; }
  os::SteadyTime steady() override { return os::SteadyTime(time.time_since_epoch()); }
};

template <class Id>
Id id_of(std::uint8_t n) {
  std::array<std::byte, Id::kSize> bytes{};
  bytes[0] = std::byte{n};
  return Id(bytes);
}

const auto kVault = id_of<object::VaultId>(7);
const auto kAlice = id_of<object::ClientId>(1);
const auto kBob = id_of<object::ClientId>(2);

object::ChunkId chunk(std::uint8_t n) { return id_of<object::ChunkId>(n); }

class OpLogTest : public ::testing::Test {
 protected:
  void SetUp() override { open(); }
  void open() {
    log_.reset();
    auto opened = OpLog::open(path(), kVault, key_, clock_);
    ASSERT_TRUE(opened) << opened.error().what;
    log_ = *std::move(opened);
  }
  std::string path() const { return (dir_ / "oplog.db").string(); }

  std::uint64_t lease(const object::ClientId& client = kAlice) { return log_->acquire_lease(client, true)->epoch; }

  /// The commit that may come next under `epoch`.
  object::Commit next(std::uint64_t epoch, std::vector<object::ChunkId> added = {},
                      std::vector<object::ChunkId> released = {}) {
    const Head head = *log_->head();
    return {.vault = kVault,
            .seq = head.seq + 1,
            .previous = head.hash,
            .epoch = epoch,
            .added = std::move(added),
            .released = std::move(released),
            .payload = copy_of(as_bytes("sealed"))};
  }

  Result<Bytes> append(const object::Commit& commit, const object::ClientId& client = kAlice) {
    return log_->append(object::encode(commit), client,
                        [this](const object::ChunkId& id) -> Result<bool> { return stored_.contains(id); });
  }

  /// The errno of the refusal, 0 where there was none.
  int refusal(const object::Commit& commit, const object::ClientId& client = kAlice) {
    const auto appended = append(commit, client);
    if (appended) return 0;
    EXPECT_EQ(appended.error().fault, Fault::refused) << appended.error().what;
    return appended.error().code;
  }

  testing::TempDir dir_;
  SetClock clock_;
  testing::SeededRandom random_{1};
  crypto::SigningKey key_ = crypto::SigningKey::generate(random_);
  std::set<object::ChunkId> stored_{chunk(1), chunk(2), chunk(3)};
  std::unique_ptr<OpLog> log_;
};

TEST_F(OpLogTest, AppendsACommitAndSignsForIt) {
  const auto commit = next(lease(), {chunk(1), chunk(2)});
  const auto bytes = append(commit);
  ASSERT_TRUE(bytes) << bytes.error().what;
  const auto receipt = object::decode_receipt(*bytes);
  ASSERT_TRUE(receipt);
  EXPECT_TRUE(object::holds(*receipt, key_.public_key()));
  EXPECT_EQ(receipt->seq, 1u);
  EXPECT_EQ(receipt->hash, object::hash_of(object::encode(commit)));
  EXPECT_EQ(receipt->vault, kVault);
  EXPECT_EQ(receipt->chunk_count, 2u);
  EXPECT_EQ(log_->head()->hash, receipt->hash);
}

TEST_F(OpLogTest, AnswersTheSameCommitWithTheSameReceiptWhateverCameAfterIt) {
  const auto first = next(lease(), {chunk(1)});
  const auto receipt = append(first);
  ASSERT_TRUE(receipt);
  EXPECT_EQ(*append(first), *receipt);
  ASSERT_TRUE(append(next(1)));
  lease(kBob);
  EXPECT_EQ(*append(first), *receipt) << "the client's lease is lost, its commit is not";
  EXPECT_EQ(log_->head()->seq, 2u);
}

TEST_F(OpLogTest, RefusesACommitWithAnyWrongField) {
  const std::uint64_t epoch = lease();
  ASSERT_TRUE(append(next(epoch, {chunk(1)})));
  const object::Commit good = next(epoch, {chunk(2)});

  object::Commit bad = good;
  bad.vault = id_of<object::VaultId>(8);
  EXPECT_EQ(refusal(bad), EINVAL);
  bad = good;
  bad.seq = 3;
  EXPECT_EQ(refusal(bad), ESTALE) << "a gap";
  bad.seq = 1;
  bad.previous = {};
  EXPECT_EQ(refusal(bad), ESTALE) << "another commit at the same place: a fork";
  bad = good;
  bad.previous = id_of<object::CommitHash>(1);
  EXPECT_EQ(refusal(bad), ESTALE);
  bad = good;
  bad.epoch = epoch + 1;
  EXPECT_EQ(refusal(bad), EROFS);
  bad.epoch = epoch - 1;
  EXPECT_EQ(refusal(bad), EROFS);
  EXPECT_EQ(refusal(good, kBob), EROFS) << "not the holder of the lease";
  bad = good;
  bad.added.push_back(chunk(9));
  EXPECT_EQ(refusal(bad), ENOENT) << "a chunk that is not stored";

  EXPECT_EQ(log_->head()->seq, 1u);
  EXPECT_EQ(refusal(good), 0);
}

TEST_F(OpLogTest, RefusesBytesThatAreNoCommit) {
  object::Commit commit = next(lease(), {chunk(1), chunk(2)});
  Bytes bytes = object::encode(commit);
  std::swap_ranges(bytes.begin() + 88, bytes.begin() + 120, bytes.begin() + 120);
  const auto is_stored = [](const object::ChunkId&) -> Result<bool> { return true; };
  EXPECT_EQ(log_->append(bytes, kAlice, is_stored).error().code, EINVAL) << "unsorted ids";
  bytes.resize(40);
  EXPECT_EQ(log_->append(bytes, kAlice, is_stored).error().code, EINVAL);
  EXPECT_EQ(log_->append({}, kAlice, is_stored).error().code, EINVAL);
}

TEST_F(OpLogTest, CountsChunksThatAreAddedReleasedAndAddedAgain) {
  const auto count = [&](const object::Commit& commit) { return object::decode_receipt(*append(commit))->chunk_count; };
  const std::uint64_t epoch = lease();
  EXPECT_EQ(count(next(epoch, {chunk(1), chunk(2)})), 2u);
  EXPECT_EQ(count(next(epoch, {chunk(2), chunk(3)})), 3u) << "one was there already";
  EXPECT_EQ(count(next(epoch, {}, {chunk(1), chunk(9)})), 2u) << "one was never there";
  EXPECT_EQ(count(next(epoch, {chunk(1)}, {chunk(2)})), 2u);
  EXPECT_EQ(count(next(epoch, {}, {chunk(1), chunk(2), chunk(3)})), 0u);
}

TEST_F(OpLogTest, KeepsEverythingOverAReopening) {
  const std::uint64_t epoch = lease();
  const auto first = next(epoch, {chunk(1)});
  const auto receipt = append(first);
  ASSERT_TRUE(log_->put_key_slot(as_bytes("slot"), true));
  open();
  EXPECT_EQ(log_->head()->receipt, *receipt);
  EXPECT_EQ(log_->read(1, 1000)->commits, std::vector<Bytes>{object::encode(first)});
  EXPECT_EQ(as_text(log_->key_slots()->front().slot), "slot");
  EXPECT_TRUE(append(next(epoch))) << "the lease is still held";
}

// Claim: what was acknowledged survives a kill at any moment, and the log needs no repair.
// Method: copies the files as they are after each append, without closing the log, and opens the copy.
TEST_F(OpLogTest, IsWholeInEveryCopyOfItsFiles) {
  const std::uint64_t epoch = lease();
  for (std::uint64_t n = 1; n <= 5; ++n) {
    ASSERT_TRUE(append(next(epoch, {chunk(1)})));
    testing::TempDir copy;
    std::filesystem::copy(dir_.path(), copy.path(), std::filesystem::copy_options::recursive);
    const auto reopened = OpLog::open((copy / "oplog.db").string(), kVault, key_, clock_);
    ASSERT_TRUE(reopened);
    EXPECT_EQ((*reopened)->head()->seq, n);
    const auto report = check_log((copy / "oplog.db").string(), kVault, key_.public_key());
    ASSERT_TRUE(report);
    EXPECT_TRUE(report->damage.empty()) << report->damage.front();
  }
}

TEST_F(OpLogTest, ReadsAtLeastOneCommitAndAsManyAsFit) {
  const std::uint64_t epoch = lease();
  for (int i = 0; i < 5; ++i) ASSERT_TRUE(append(next(epoch)));
  const std::uint64_t one = object::encode(next(epoch)).size();
  EXPECT_EQ(log_->read(2, 1)->commits.size(), 1u);
  EXPECT_EQ(log_->read(2, 3 * one)->commits.size(), 3u);
  EXPECT_EQ(log_->read(2, 100 * one)->commits.size(), 4u);
  EXPECT_EQ(log_->read(6, 100)->commits.size(), 0u);
  EXPECT_EQ(log_->read(6, 100)->head.seq, 5u);
}

TEST_F(OpLogTest, CallsAfterEachAppend) {
  int calls = 0;
  log_->on_append([&] { ++calls; });
  const auto commit = next(lease());
  ASSERT_TRUE(append(commit));
  EXPECT_EQ(calls, 1);
  ASSERT_TRUE(append(commit));
  EXPECT_EQ(calls, 1) << "nothing was appended";
}

TEST_F(OpLogTest, GivesTheLeaseToOneClientUntilItIsOver) {
  const Lease first = *log_->acquire_lease(kAlice, false);
  EXPECT_TRUE(first.granted);
  clock_.time += limits::kLeaseTime - 1s;
  const Lease refused = *log_->acquire_lease(kBob, false);
  EXPECT_FALSE(refused.granted);
  EXPECT_EQ(refused.holder, kAlice);
  EXPECT_EQ(refused.ttl, 1s);
  ASSERT_TRUE(log_->renew_lease(kAlice, first.epoch));
  clock_.time += 2s;
  EXPECT_FALSE(log_->acquire_lease(kBob, false)->granted);
  clock_.time += limits::kLeaseTime;
  const Lease second = *log_->acquire_lease(kBob, false);
  EXPECT_TRUE(second.granted);
  EXPECT_GT(second.epoch, first.epoch);
  EXPECT_EQ(log_->renew_lease(kAlice, first.epoch).error().code, EROFS);
  EXPECT_EQ(log_->release_lease(kAlice, first.epoch).error().code, EROFS);
}

TEST_F(OpLogTest, KeepsALeaseForItsTimeHoweverTheTimeOfDayJumps) {
  const Lease first = *log_->acquire_lease(kAlice, false);
  for (const int years : {1, -2}) {
    clock_.jump = std::chrono::hours(24 * 365 * years);
    EXPECT_FALSE(log_->acquire_lease(kBob, false)->granted);
    EXPECT_TRUE(log_->renew_lease(kAlice, first.epoch));
  }
  clock_.time += limits::kLeaseTime + 1s;
  EXPECT_TRUE(log_->acquire_lease(kBob, false)->granted);
}

TEST_F(OpLogTest, GivesAClientItsOwnLeaseAnewAtOnceAndFencesTheOldEpochOff) {
  const std::uint64_t first = log_->acquire_lease(kAlice, false)->epoch;
  const Lease again = *log_->acquire_lease(kAlice, false);
  EXPECT_TRUE(again.granted);
  EXPECT_GT(again.epoch, first);
  EXPECT_EQ(refusal(next(first)), EROFS);
  EXPECT_EQ(refusal(next(again.epoch)), 0);
}

TEST_F(OpLogTest, GivesTheLeaseByForceAndAfterARelease) {
  const std::uint64_t first = log_->acquire_lease(kAlice, false)->epoch;
  const Lease forced = *log_->acquire_lease(kBob, true);
  EXPECT_TRUE(forced.granted);
  EXPECT_EQ(refusal(next(first)), EROFS);
  ASSERT_TRUE(log_->release_lease(kBob, forced.epoch));
  EXPECT_EQ(refusal(next(forced.epoch), kBob), EROFS) << "a lease that was given back";
  EXPECT_GT(log_->acquire_lease(kAlice, false)->epoch, forced.epoch);
}

TEST_F(OpLogTest, TakesALeaseOnlyFromTheHolderThatWasSeen) {
  lease(kAlice);
  const auto seen = log_->acquire_lease(kBob, false);
  ASSERT_TRUE(seen);
  ASSERT_FALSE(seen->granted);
  lease(kAlice);  // The same holder, under a higher epoch: it came back in the meantime.
  const auto late = log_->take_lease_from(*seen, kBob);
  ASSERT_TRUE(late);
  EXPECT_FALSE(late->granted);
  const auto in_time = log_->take_lease_from(*late, kBob);
  ASSERT_TRUE(in_time);
  EXPECT_TRUE(in_time->granted);
}

TEST_F(OpLogTest, GrowsNoFurtherThanItMay) {
  const auto first = next(lease(), {chunk(1)});
  const std::uint64_t commit_bytes = object::encode(first).size();
  ASSERT_TRUE(append(first));
  const std::uint64_t counted = commit_bytes + kCommitOverheadBytes + kAddedOverheadBytes;
  EXPECT_EQ(*log_->log_bytes(), counted);
  const auto is_stored = [](const object::ChunkId&) -> Result<bool> { return true; };
  const Bytes second = object::encode(next(1));
  const auto refused = log_->append(second, kAlice, is_stored, counted + second.size() + kCommitOverheadBytes - 1);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().fault, Fault::full);
  EXPECT_EQ(refused.error().code, EDQUOT);
  EXPECT_TRUE(log_->append(second, kAlice, is_stored, counted + second.size() + kCommitOverheadBytes));
}

// Claim: while what was begun to be stored is not, nobody sees the commit; where it fails, the commit is not appended,
// and may come again.
TEST_F(OpLogTest, AppendsNothingWhoseChunksDidNotGetToTheDisk) {
  const Bytes commit = object::encode(next(lease(), {chunk(1)}));
  const auto is_begun = [](const object::ChunkId&) -> Result<bool> { return true; };
  const auto fails = [this]() -> Result<void> {
    Result<db::Database> other = db::Database::open(path(), {.read_only = true});
    Result<db::Statement> rows = other->prepare("SELECT 1 FROM log_commit");
    EXPECT_FALSE(*rows->step()) << "it could be read before its chunks were there";
    return Error{Fault::local_io, EIO, "the disk failed"};
  };
  const auto refused = log_->append(commit, kAlice, is_begun, kNoLogLimit, fails);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().fault, Fault::local_io);
  EXPECT_EQ(log_->head()->seq, 0u);
  EXPECT_EQ(*log_->log_bytes(), 0u);
  EXPECT_FALSE(*log_->is_present(chunk(1)));
  EXPECT_TRUE(log_->append(commit, kAlice, is_begun, kNoLogLimit, [] { return Result<void>(); }));
  EXPECT_EQ(log_->head()->seq, 1u);
}

TEST_F(OpLogTest, HoldsALeaseForItsWholeTimeAfterARestart) {
  const std::uint64_t epoch = log_->acquire_lease(kAlice, false)->epoch;
  clock_.time += 1h;
  open();
  EXPECT_FALSE(log_->acquire_lease(kBob, false)->granted);
  clock_.time += limits::kLeaseTime;
  EXPECT_GT(log_->acquire_lease(kBob, false)->epoch, epoch);
}

TEST_F(OpLogTest, KeepsKeySlotsWithinTheirBounds) {
  EXPECT_EQ(log_->put_key_slot({}, false).error().code, EINVAL);
  EXPECT_EQ(log_->put_key_slot(Bytes(kKeySlotBytesMax + 1), false).error().code, EFBIG);
  const auto first = log_->put_key_slot(as_bytes("1"), true);
  ASSERT_TRUE(first);
  EXPECT_EQ(log_->put_key_slot(as_bytes("2"), true).error().code, EEXIST);
  EXPECT_EQ(log_->put_key_slot(as_bytes("1"), true).value_or(0), *first) << "asked again: its answer was lost";
  EXPECT_EQ(log_->key_slots()->size(), 1u);
  for (std::size_t i = 1; i < kKeySlotsMax; ++i) ASSERT_TRUE(log_->put_key_slot(as_bytes("n"), false));
  EXPECT_EQ(log_->put_key_slot(as_bytes("17"), false).error().code, ENOSPC);
  EXPECT_EQ(log_->remove_key_slot(999).error().code, ENOENT);
  const auto slots = *log_->key_slots();
  ASSERT_EQ(slots.size(), kKeySlotsMax);
  for (std::size_t i = 1; i < slots.size(); ++i) EXPECT_TRUE(log_->remove_key_slot(slots[i].number));
  EXPECT_EQ(log_->remove_key_slot(*first).error().code, EBUSY) << "the last one stays";
  EXPECT_EQ(log_->key_slots()->size(), 1u);
}

// Claim: whoever may write can wreck the slots as they are, and not as they were: what a stolen client removes the
// server's own command line brings back, byte for byte, also after a restart.
TEST_F(OpLogTest, BringsBackTheKeySlotsThatAWriterRemoved) {
  ASSERT_TRUE(log_->put_key_slot(as_bytes("passphrase"), true));
  ASSERT_TRUE(log_->put_key_slot(as_bytes("recovery"), false));
  const std::vector<KeySlot> before = *log_->key_slots();
  const auto junk = log_->put_key_slot(as_bytes("junk"), false);
  ASSERT_TRUE(junk);
  for (const KeySlot& slot : before) ASSERT_TRUE(log_->remove_key_slot(slot.number));
  EXPECT_EQ(as_text(log_->key_slots()->front().slot), "junk");
  EXPECT_EQ(log_->remove_key_slot(before[0].number).error().code, ENOENT) << "a removed one is not there to clients";
  EXPECT_EQ(log_->put_key_slot(as_bytes("new"), true).error().code, EEXIST);
  open();

  ASSERT_EQ(log_->removed_key_slots()->size(), 2u);
  EXPECT_EQ(*log_->removed_key_slots()->front().removed_ns, clock_.now().time_since_epoch().count());
  EXPECT_EQ(log_->change_key_slots({}, {*junk}).error().code, EBUSY) << "one must stay";
  EXPECT_EQ(log_->change_key_slots({before[0].number, 999}, {}).error().code, ENOENT);
  ASSERT_TRUE(log_->change_key_slots({before[0].number, before[1].number}, {*junk}));
  const std::vector<KeySlot> after = *log_->key_slots();
  ASSERT_EQ(after.size(), before.size());
  for (std::size_t i = 0; i < after.size(); ++i) {
    EXPECT_EQ(after[i].number, before[i].number);
    EXPECT_EQ(after[i].slot, before[i].slot);
  }
}

// Claim: a removed slot is there for kLockFor and no longer, however many are removed meanwhile; what is kept is
// bounded.
TEST_F(OpLogTest, KeepsRemovedKeySlotsForAWeekWithinABound) {
  ASSERT_TRUE(log_->put_key_slot(as_bytes("first"), true));
  const auto put_and_remove = [&] {
    const auto number = log_->put_key_slot(as_bytes("another"), false);
    return number ? log_->remove_key_slot(*number) : Result<void>(number.error());
  };
  for (std::size_t i = 0; i < kRemovedSlotsMax; ++i) ASSERT_TRUE(put_and_remove());
  clock_.jump = kLockFor - 1h;
  const Result<void> refused = put_and_remove();
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ENOSPC);
  EXPECT_NE(refused.error().what.find("cofferd slots"), std::string::npos);
  EXPECT_EQ(log_->removed_key_slots()->size(), kRemovedSlotsMax);
  EXPECT_EQ(log_->key_slots()->size(), 2u) << "what could not be removed is as it was";
  EXPECT_TRUE(log_->change_key_slots({}, {log_->key_slots()->back().number})) << "the server's own command may";
  clock_.jump = kLockFor;
  EXPECT_TRUE(put_and_remove());
  EXPECT_EQ(log_->removed_key_slots()->size(), 2u);
}

// Claim: commits leave the last of the disk to what must always be possible. A commit is refused below 32 MiB, one that
// only releases chunks below 8 MiB; leases and key slots change on.
TEST_F(OpLogTest, LeavesTheLastOfTheDiskToLeases) {
  struct SmallDisk : testing::FaultyDisk {
    std::uint64_t free = 1u << 30;
    Result<std::uint64_t> free_bytes(const std::string&) override { return free; }
  } disk;
  log_.reset();
  log_ = *OpLog::open(path(), kVault, key_, clock_, disk);
  std::uint64_t epoch = lease();
  ASSERT_TRUE(append(next(epoch, {chunk(1)})));
  const auto code = [&](const object::Commit& commit) {
    const auto appended = append(commit);
    EXPECT_TRUE(appended || appended.error().fault == Fault::full);
    return appended ? 0 : appended.error().code;
  };
  object::Commit large = next(epoch);
  large.payload = Bytes(4u << 20);
  disk.free = 36u << 20;
  EXPECT_EQ(code(large), ENOSPC) << "what it takes itself counts";
  EXPECT_EQ(code(next(epoch)), 0);
  disk.free = 16u << 20;
  large = next(epoch, {}, {chunk(1)});
  large.payload = Bytes(4u << 20);
  EXPECT_EQ(code(large), ENOSPC);
  EXPECT_EQ(code(next(epoch)), ENOSPC) << "it releases nothing";
  EXPECT_EQ(code(next(epoch, {chunk(2)}, {chunk(1)})), ENOSPC);
  EXPECT_TRUE(log_->acquire_lease(kBob, true)->granted);
  epoch = lease();
  EXPECT_EQ(code(next(epoch, {}, {chunk(1)})), 0);
  disk.free = 8u << 20;
  EXPECT_EQ(code(next(epoch, {}, {chunk(1)})), ENOSPC);
  EXPECT_TRUE(log_->put_key_slot(as_bytes("slot"), true));
  EXPECT_TRUE(log_->acquire_lease(kBob, true)->granted);
  disk.free = 1u << 30;
  lease();
  log_.reset();
}

/// Changes the file behind the log's back.
class CheckedLog : public OpLogTest {
 protected:
  void SetUp() override {
    OpLogTest::SetUp();
    const std::uint64_t epoch = lease();
    for (int i = 0; i < 3; ++i) ASSERT_TRUE(append(next(epoch, {chunk(1), chunk(2)})));
  }
  LogReport check_after(const char* sql) {
    log_.reset();
    auto db = db::Database::open(path(), {});
    EXPECT_TRUE(db);
    EXPECT_TRUE(db->execute(sql));
    auto report = check_log(path(), kVault, key_.public_key());
    EXPECT_TRUE(report);
    return *std::move(report);
  }
};

TEST_F(CheckedLog, IsWellAndNamesItsChunks) {
  const LogReport report = check_after("SELECT 1");
  EXPECT_TRUE(report.damage.empty());
  EXPECT_EQ(report.commits, 3u);
  EXPECT_EQ(report.present, (std::vector{chunk(1), chunk(2)}));
}

TEST_F(CheckedLog, IsCheckedBesideAnOpenOne) {
  const auto report = check_log(path(), kVault, key_.public_key());
  ASSERT_TRUE(report);
  EXPECT_TRUE(report->damage.empty());
  EXPECT_TRUE(append(next(log_->acquire_lease(kAlice, false)->epoch)));
}

TEST_F(CheckedLog, IsDamagedWhereACommitIsMissing) {
  EXPECT_FALSE(check_after("DELETE FROM log_commit WHERE seq = 2").damage.empty());
}

TEST_F(CheckedLog, IsDamagedWhereBytesWereChanged) {
  EXPECT_FALSE(check_after("UPDATE log_commit SET bytes = CAST(substr(bytes, 1, length(bytes) - 1) || 'D' AS BLOB) "
                           "WHERE seq = 2")
                   .damage.empty());
}

TEST_F(CheckedLog, IsDamagedWhereAReceiptWasChanged) {
  EXPECT_FALSE(check_after("UPDATE log_commit SET receipt = (SELECT receipt FROM log_commit WHERE seq = 1) "
                           "WHERE seq = 3")
                   .damage.empty());
}

TEST_F(CheckedLog, IsDamagedWhereTheTableOfChunksDisagrees) {
  EXPECT_FALSE(check_after("UPDATE chunk SET released_seq = 3").damage.empty());
  EXPECT_FALSE(check_after("INSERT INTO chunk(id, added_seq) VALUES(zeroblob(32), 1)").damage.empty());
}

TEST_F(CheckedLog, IsDamagedUnderAnotherKeyOrVault) {
  testing::SeededRandom random(9);
  const auto other = crypto::SigningKey::generate(random);
  EXPECT_FALSE(check_log(path(), kVault, other.public_key())->damage.empty());
  EXPECT_FALSE(check_log(path(), id_of<object::VaultId>(8), key_.public_key())->damage.empty());
  EXPECT_FALSE(check_log((dir_ / "nowhere.db").string(), kVault, key_.public_key()));
}

}  // namespace
}  // namespace coffer::oplog
