#include "server/store/pack_chunk_store.h"

#include <gtest/gtest.h>

#include <atomic>
#include <cerrno>
#include <filesystem>
#include <future>
#include <thread>
#include <vector>

#include "common/crypto/hash.h"
#include "common/db/database.h"
#include "tests/testing/eventually.h"
#include "tests/testing/seeded_random.h"
#include "tests/testing/temp_dir.h"

namespace coffer::store {
namespace {

/// What happened to packs, in order: the bytes written and synced. Can hold syncs back, and make them fail.
struct Record {
  Mutex mutex;
  std::vector<std::string> events GUARDED_BY(mutex);
  std::atomic<bool> hold_syncs = false;
  std::atomic<bool> fail_syncs = false;
  std::atomic<int> syncs = 0;
  std::atomic<bool> is_disk_full = false;
  std::atomic<std::uint64_t> unreadable_at = std::uint64_t{1} << 60;

  void add(std::string event) {
    const MutexLock lock(mutex);
    events.push_back(std::move(event));
  }
  std::vector<std::string> all() {
    const MutexLock lock(mutex);
    return events;
  }
};

class RecordedFile : public os::File {
 public:
  RecordedFile(std::unique_ptr<os::File> file, Record& record) : file_(std::move(file)), record_(record) {}
  Result<std::size_t> read_at(MutableByteView into, std::uint64_t offset) override {
    const std::uint64_t bad = record_.unreadable_at;
    if (offset <= bad && bad < offset + into.size()) return os_error(EIO, "pread");
    return file_->read_at(into, offset);
  }
  Result<void> write_at(ByteView bytes, std::uint64_t offset) override {
    record_.add("write");
    return file_->write_at(bytes, offset);
  }
  Result<void> sync() override {
    ++record_.syncs;
    EXPECT_TRUE(testing::eventually([&] { return !record_.hold_syncs; }));
    if (record_.fail_syncs) return os_error(EIO, "fdatasync");
    record_.add("sync");
    return file_->sync();
  }
  Result<void> truncate(std::uint64_t bytes) override { return file_->truncate(bytes); }
  Result<std::uint64_t> size() override { return file_->size(); }
  Result<void> punch(std::uint64_t offset, std::uint64_t bytes) override { return file_->punch(offset, bytes); }

 private:
  std::unique_ptr<os::File> file_;
  Record& record_;
};

class RecordedDisk : public os::Disk {
 public:
  explicit RecordedDisk(Record& record) : record_(record) {}
  Result<std::unique_ptr<os::File>> open(const std::string& path, os::Open how) override {
    COFFER_TRY(auto file, disk_.open(path, how));
    return std::unique_ptr<os::File>(std::make_unique<RecordedFile>(std::move(file), record_));
  }
  Result<void> remove(const std::string& path) override { return disk_.remove(path); }
  Result<void> rename(const std::string& from, const std::string& to) override { return disk_.rename(from, to); }
  Result<bool> make_one_folder(const std::string& path) override { return disk_.make_one_folder(path); }
  Result<void> sync_folder(const std::string& path) override { return disk_.sync_folder(path); }
  Result<std::vector<std::string>> list(const std::string& path) override { return disk_.list(path); }
  Result<std::uint64_t> free_bytes(const std::string& path) override {
    if (record_.is_disk_full) return std::uint64_t{1000};
    return disk_.free_bytes(path);
  }
  Result<std::unique_ptr<os::DiskLock>> lock(const std::string& path) override { return disk_.lock(path); }
  const char* sqlite_vfs() const override { return nullptr; }

 private:
  os::Disk& disk_ = os::real_disk();
  Record& record_;
};

class PackChunkStoreTest : public ::testing::Test {
 protected:
  void SetUp() override { open(); }
  void TearDown() override {
    record_.hold_syncs = false;
    if (store_) store_->close();
  }
  void open() {
    if (store_) store_->close();
    store_.reset();
    // A writer thread may hold the store for a moment after the last answer.
    ASSERT_TRUE(testing::eventually([&] {
      auto opened = PackChunkStore::open(disk_, (dir_ / "packs").string(), {}, writers_);
      if (!opened) return false;
      store_ = *std::move(opened);
      return true;
    }));
  }

  std::shared_ptr<const Bytes> chunk(std::size_t bytes = 1000) {
    return std::make_shared<const Bytes>(random_.bytes(bytes));
  }
  static object::ChunkId id_of(const Bytes& bytes) { return object::ChunkId(crypto::sha256(bytes)); }

  Result<PutDone> put(const std::shared_ptr<const Bytes>& sealed) {
    std::promise<Result<PutDone>> promise;
    store_->put(id_of(*sealed), sealed, [&](Result<PutDone> done) { promise.set_value(std::move(done)); });
    return promise.get_future().get();
  }

  /// Returns once it is queued: the first put() writes, and while syncs are held does not return.
  void begin_put(const std::shared_ptr<const Bytes>& sealed, const ChunkStore::Done& done) {
    const std::uint64_t before = store_->queued_bytes();
    threads_.emplace_back([sealed, done, store = store_] { store->put(id_of(*sealed), sealed, done); });
    ASSERT_TRUE(testing::eventually([&] { return store_->queued_bytes() > before; }));
  }

  testing::TempDir dir_;
  testing::SeededRandom random_{1};
  Record record_;
  RecordedDisk disk_{record_};
  WriterPool writers_{2};
  std::shared_ptr<PackChunkStore> store_;
  std::vector<std::jthread> threads_;
};

// Claim: a server that starts anew knows which chunks its disk could not read: a scrub passes by them and finds them
// damaged, so that they are asked for, until a copy has come.
TEST_F(PackChunkStoreTest, KnowsAfterARestartWhatTheDiskCouldNotRead) {
  const auto sealed = chunk();
  const object::ChunkId id = id_of(*sealed);
  ASSERT_TRUE(put(sealed));
  record_.unreadable_at = 500;
  EXPECT_EQ(*store_->examine(id), pack::Soundness::damaged);
  for (int i = 0; i < 2; ++i) {
    open();
    EXPECT_FALSE(store_->find(id)->stored);
    pack::Place place;
    const auto walked = store_->chunks_from(place, 10);
    ASSERT_EQ(walked->size(), 1u);
    EXPECT_EQ(walked->front().id, id);
    EXPECT_EQ(*store_->examine(id), pack::Soundness::damaged);
  }
  EXPECT_FALSE(put(sealed)->was_stored);
  EXPECT_EQ(*store_->examine(id), pack::Soundness::good);
  pack::Place place;
  EXPECT_EQ(store_->chunks_from(place, 10)->size(), 1u);
}

TEST_F(PackChunkStoreTest, GivesBackWhatItStored) {
  const auto sealed = chunk();
  const auto done = put(sealed);
  ASSERT_TRUE(done);
  EXPECT_FALSE(done->was_stored);
  EXPECT_TRUE(put(sealed)->was_stored);
  EXPECT_TRUE(store_->find(id_of(*sealed))->stored);
  EXPECT_EQ(store_->find(id_of(*sealed))->received, 1000u);
  EXPECT_EQ(*store_->read_range(id_of(*sealed), 0, sealed->size()), *sealed);
  EXPECT_EQ(*store_->read_range(id_of(*sealed), 10, 20), Bytes(sealed->begin() + 10, sealed->begin() + 30));
  EXPECT_EQ(store_->read_range(id_of(*sealed), 990, 11).error().code, EINVAL);
  EXPECT_EQ(store_->read_range(id_of(*sealed), 1001, 0).error().code, EINVAL);
  open();
  EXPECT_EQ(*store_->read_range(id_of(*sealed), 0, sealed->size()), *sealed);
  EXPECT_EQ(store_->used_bytes(), 1000 + kChunkOverheadBytes);
}

TEST_F(PackChunkStoreTest, SaysOfWhatItDoesNotHaveThatItIsAbsent) {
  const auto id = id_of(*chunk());
  EXPECT_FALSE(store_->find(id)->stored);
  EXPECT_EQ(store_->find(id)->received, 0u);
  EXPECT_EQ(store_->read_range(id, 0, 1).error().code, ENOENT);
  EXPECT_EQ(store_->read_range(id, 0, 1).error().code, ENOENT);
}

TEST_F(PackChunkStoreTest, AnswersAPutOnlyAfterTheSyncBehindItsBytes) {
  for (int i = 0; i < 5; ++i) {
    ASSERT_TRUE(put(chunk()));
    const auto events = record_.all();
    ASSERT_FALSE(events.empty());
    EXPECT_EQ(events.back(), "sync") << "the bytes were written after the last sync";
  }
}

// Claim: a caller that goes on is not kept by the disk while a thread of the store is free; where none is, its chunk is
// written all the same.
TEST_F(PackChunkStoreTest, WritesBesideACallerThatGoesOn) {
  const auto sealed = chunk();
  record_.hold_syncs = true;
  std::promise<Result<PutDone>> promise;
  store_->put(
      id_of(*sealed), sealed, [&](Result<PutDone> done) { promise.set_value(std::move(done)); },
      ChunkStore::Caller::goes_on);
  EXPECT_FALSE(store_->find(id_of(*sealed))->stored);
  record_.hold_syncs = false;
  EXPECT_TRUE(promise.get_future().get());

  std::promise<void> end;
  std::atomic<int> busy = 0;
  const std::shared_future<void> ended = end.get_future().share();
  for (int i = 0; i < 2; ++i) {
    writers_.run([&busy, ended] {
      ++busy;
      ended.wait();
    });
  }
  ASSERT_TRUE(testing::eventually([&] { return busy == 2; }));
  const auto other = chunk();
  bool is_stored = false;
  store_->put(
      id_of(*other), other, [&](const Result<PutDone>& done) { is_stored = done.has_value(); },
      ChunkStore::Caller::goes_on);
  EXPECT_TRUE(is_stored);
  end.set_value();
}

TEST_F(PackChunkStoreTest, CallsNothingStoredWhileTheSyncIsUnderWay) {
  const auto sealed = chunk();
  record_.hold_syncs = true;
  const int before = record_.syncs;
  std::promise<Result<PutDone>> promise;
  auto done = promise.get_future();
  begin_put(sealed, [&](Result<PutDone> outcome) { promise.set_value(std::move(outcome)); });
  ASSERT_TRUE(testing::eventually([&] { return record_.syncs > before; }));
  EXPECT_FALSE(store_->find(id_of(*sealed))->stored);
  EXPECT_EQ(store_->read_range(id_of(*sealed), 0, sealed->size()).error().code, ENOENT);
  EXPECT_EQ(store_->queued_bytes(), 1000u);
  EXPECT_EQ(done.wait_for(std::chrono::seconds(0)), std::future_status::timeout);
  record_.hold_syncs = false;
  EXPECT_TRUE(done.get());
  EXPECT_TRUE(store_->find(id_of(*sealed))->stored);
  EXPECT_EQ(store_->queued_bytes(), 0u);
}

// Claim: what gathers while one sync is under way shares the next one.
TEST_F(PackChunkStoreTest, SharesOneSyncAmongManyPuts) {
  ASSERT_TRUE(put(chunk()));
  record_.hold_syncs = true;
  const int before = record_.syncs;
  std::atomic<int> answered = 0;
  const auto put_one = [&] {
    begin_put(chunk(), [&](const Result<PutDone>& done) { answered += done.has_value() ? 1 : 1000; });
  };
  put_one();
  ASSERT_TRUE(testing::eventually([&] { return record_.syncs > before; }));
  for (int i = 0; i < 50; ++i) put_one();
  record_.hold_syncs = false;
  ASSERT_TRUE(testing::eventually([&] { return answered == 51; }));
  EXPECT_EQ(record_.syncs, before + 2);
}

TEST_F(PackChunkStoreTest, AnswersEveryPutOfTheSameChunk) {
  const auto sealed = chunk();
  std::atomic<int> answered = 0;
  for (int i = 0; i < 20; ++i) {
    store_->put(id_of(*sealed), sealed, [&](const Result<PutDone>& done) {
      EXPECT_TRUE(done);
      // Once answered it is never again unstored, whatever is still in the queue.
      EXPECT_TRUE(store_->find(id_of(*sealed))->stored);
      ++answered;
    });
  }
  ASSERT_TRUE(testing::eventually([&] { return answered == 20; }));
  EXPECT_EQ(store_->used_bytes(), 1000 + kChunkOverheadBytes);
}

TEST_F(PackChunkStoreTest, StoresNothingMoreAfterASyncThatFailed) {
  const auto before = chunk();
  ASSERT_TRUE(put(before));
  record_.fail_syncs = true;
  const auto lost = chunk();
  EXPECT_EQ(put(lost).error().fault, Fault::local_io);
  record_.fail_syncs = false;
  EXPECT_FALSE(store_->find(id_of(*lost))->stored);
  EXPECT_EQ(put(lost).error().fault, Fault::local_io) << "a later sync proves nothing about the earlier bytes";
  EXPECT_EQ(put(chunk()).error().fault, Fault::local_io);
  EXPECT_EQ(*store_->read_range(id_of(*before), 0, before->size()), *before) << "what was stored can still be read";
  open();
  EXPECT_TRUE(put(lost));
}

TEST_F(PackChunkStoreTest, RefusesChunksWhileTheDiskIsNearlyFullAndReadsWhatItHas) {
  const auto before = chunk();
  ASSERT_TRUE(put(before));
  record_.is_disk_full = true;
  const auto refused = chunk();
  const Result<PutDone> done = put(refused);
  ASSERT_FALSE(done);
  EXPECT_EQ(done.error().fault, Fault::full);
  EXPECT_EQ(done.error().code, ENOSPC);
  EXPECT_FALSE(store_->find(id_of(*refused))->stored);
  EXPECT_EQ(*store_->read_range(id_of(*before), 0, before->size()), *before);
  EXPECT_TRUE(put(before)->was_stored) << "it needs no room";
  record_.is_disk_full = false;
  EXPECT_TRUE(put(refused));
}

// Claim: a chunk whose first put found no room is not called stored while the sync of the second is under way.
//
// Method: another chunk's sync is held back until both puts wait. The first of them fills a group by itself.
TEST_F(PackChunkStoreTest, CallsNothingStoredBetweenTwoPutsOfOneChunk) {
  const auto first = chunk();
  const auto twice = chunk(32u << 20);
  std::promise<Result<PutDone>> outcomes[3];
  const auto put_as = [&](std::size_t i, const std::shared_ptr<const Bytes>& sealed) {
    begin_put(sealed, [&, i](Result<PutDone> done) {
      // Room again, and a sync that does not end, before the next group is looked at.
      if (i == 1) {
        record_.is_disk_full = false;
        record_.hold_syncs = true;
      }
      outcomes[i].set_value(std::move(done));
    });
  };
  record_.hold_syncs = true;
  int before = record_.syncs;
  put_as(0, first);
  ASSERT_TRUE(testing::eventually([&] { return record_.syncs > before; }));
  put_as(1, twice);
  put_as(2, twice);
  record_.is_disk_full = true;
  before = record_.syncs;
  record_.hold_syncs = false;
  EXPECT_TRUE(outcomes[0].get_future().get());
  const auto refused = outcomes[1].get_future().get();
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ENOSPC);
  ASSERT_TRUE(testing::eventually([&] { return record_.syncs > before; }));
  EXPECT_FALSE(store_->find(id_of(*twice))->stored) << "its bytes are written and not synced";
  record_.hold_syncs = false;
  EXPECT_TRUE(outcomes[2].get_future().get());
  EXPECT_TRUE(store_->find(id_of(*twice))->stored);
}

// Claim: an index that cannot be written, with a chunk waiting to be removed, costs the puts of that time, and not all
// until a restart.
TEST_F(PackChunkStoreTest, GoesOnAfterTheIndexCouldNotBeWritten) {
  const auto damaged = chunk();
  ASSERT_TRUE(put(damaged));
  const std::string packs = (dir_ / "packs").string();
  ASSERT_TRUE((*disk_.open(packs + "/00000001.pack", os::Open::write))->write_at(as_bytes("rot"), 200));
  auto index = db::Database::open(packs + "/index.db", {.sync = db::Sync::normal});
  ASSERT_TRUE(index);
  ASSERT_TRUE(index->execute("CREATE TRIGGER full BEFORE INSERT ON removals BEGIN SELECT RAISE(ABORT, 'full'); END"));
  EXPECT_FALSE(store_->examine(id_of(*damaged)));
  EXPECT_FALSE(store_->find(id_of(*damaged))->stored) << "its removal waits";
  EXPECT_FALSE(put(chunk()));
  ASSERT_TRUE(index->execute("DROP TRIGGER full"));
  EXPECT_TRUE(put(chunk()));
  ASSERT_TRUE(put(damaged));
  EXPECT_EQ(*store_->read_range(id_of(*damaged), 0, damaged->size()), *damaged);
}

// Claim: many tiny chunks count for what they take of the disk, from the moment on at which they wait.
TEST_F(PackChunkStoreTest, CountsWhatTinyChunksTakeOfTheDisk) {
  record_.hold_syncs = true;
  std::atomic<int> answered = 0;
  for (int i = 0; i < 100; ++i) {
    begin_put(chunk(2), [&](const Result<PutDone>& done) { answered += done.has_value() ? 1 : 1000; });
  }
  EXPECT_GE(store_->used_bytes(), 100 * (2 + kChunkOverheadBytes));
  record_.hold_syncs = false;
  ASSERT_TRUE(testing::eventually([&] { return answered == 100; }));
  const std::uint64_t used = store_->used_bytes();
  std::uint64_t taken = 0;
  store_->close();
  store_.reset();
  for (const char* name : {"00000001.pack", "index.db"}) taken += std::filesystem::file_size(dir_ / "packs" / name);
  EXPECT_LE(taken, used + (64u << 10)) << "but for what an empty store takes";
}

TEST_F(PackChunkStoreTest, FinishesWhatIsQueuedWhenItIsClosedAndTakesNoMore) {
  std::atomic<int> stored = 0;
  for (int i = 0; i < 20; ++i) {
    const auto sealed = chunk();
    store_->put(id_of(*sealed), sealed, [&](const Result<PutDone>& done) { stored += done.has_value() ? 1 : 1000; });
  }
  store_->close();
  EXPECT_EQ(stored, 20);
  EXPECT_EQ(put(chunk()).error().fault, Fault::stopped);
}

}  // namespace
}  // namespace coffer::store
