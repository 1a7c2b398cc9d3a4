#include <atomic>
#include <cerrno>
#include <condition_variable>
#include <mutex>
#include <thread>
#include <utility>

#include "tests/common/pack/chunks.h"
#include "tests/common/pack/hooked_disk.h"
#include "tests/testing/eventually.h"

namespace coffer::pack {
namespace {

using testing::TempDir;

constexpr std::size_t kThreads = 4;
constexpr std::size_t kChunksOfEach = 150;

// Claim: threads that append, sync, read, remove and check at once each see their own chunks as they left them.
TEST(PackStore, IsUsedByManyThreadsAtOnce) {
  const TempDir dir(testing::in_memory());
  const PackOptions small{.pack_bytes_max = 50'000};
  auto store = open_store(dir.path(), os::real_disk(), small);
  std::atomic<std::size_t> running = kThreads;
  std::vector<std::thread> threads;
  for (std::size_t t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] {
      for (std::size_t i = 0; i < kChunksOfEach; ++i) {
        const Chunk chunk = random_chunk(t * 1000 + i, 100 + i * 7);
        EXPECT_TRUE(store->append(chunk.id, chunk.bytes));
        EXPECT_TRUE(is_whole(*store, chunk));
        if (i % 4 == 0) {
          EXPECT_TRUE(store->sync());
        }
        if (i % 3 == 0) {
          EXPECT_TRUE(store->remove(chunk.id));
        }
        if (i < 20) continue;
        const std::size_t before = i - 20;
        EXPECT_EQ(is_whole(*store, random_chunk(t * 1000 + before, 100 + before * 7)), before % 3 != 0);
      }
      --running;
    });
  }
  threads.emplace_back([&] {
    while (running > 0) {
      const auto report = store->check(true);
      ASSERT_TRUE(report) << report.error().what;
      EXPECT_TRUE(report->bad.empty());
      EXPECT_TRUE(report->damage.empty()) << report->damage.front();
    }
  });
  threads.emplace_back([&] {
    while (running > 0) {
      EXPECT_TRUE(store->for_each([&](const StoredChunk& chunk) -> Result<void> {
        const auto bytes = store->read(chunk.id);
        EXPECT_TRUE(bytes || bytes.error().code == ENOENT) << bytes.error().what;
        return {};
      }));
    }
  });
  for (std::thread& thread : threads) thread.join();

  EXPECT_EQ(store->chunk_count(), kThreads * kChunksOfEach * 2 / 3);
  store.reset();
  store = open_store(dir.path(), os::real_disk(), small);
  EXPECT_EQ(store->chunk_count(), kThreads * kChunksOfEach * 2 / 3);
  EXPECT_TRUE(store->check(true)->bad.empty());
}

// Claim: threads that append the same chunks store each once.
TEST(PackStore, StoresAChunkOnceHoweverManyAppendIt) {
  const TempDir dir(testing::in_memory());
  const auto store = open_store(dir.path());
  std::vector<std::thread> threads;
  for (std::size_t t = 0; t < kThreads; ++t) {
    threads.emplace_back([&] {
      append_all(*store, random_chunks(100));
      EXPECT_TRUE(store->sync());
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(store->chunk_count(), 100u);
  EXPECT_EQ(store->check(true)->chunks, 100u);
}

/// Where fsyncs wait until they are let go.
class Gate {
 public:
  void hold(bool hold) {
    const std::lock_guard lock(mutex_);
    is_held_ = hold;
    changed_.notify_all();
  }
  void pass() {
    std::unique_lock lock(mutex_);
    ++passed_;
    ++waiting_;
    changed_.wait(lock, [&] { return !is_held_; });
    --waiting_;
  }
  int waiting_count() {
    const std::lock_guard lock(mutex_);
    return waiting_;
  }
  int passed_count() {
    const std::lock_guard lock(mutex_);
    return passed_;
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  bool is_held_ = false;
  int waiting_ = 0;
  int passed_ = 0;
};

// Claim: while one fsync runs, others read and append; and all who asked for a sync meanwhile share the next one.
TEST(PackStore, ReadsAndAppendsWhileAnFsyncRunsAndSharesTheNextOne) {
  const TempDir dir(testing::in_memory());
  Gate gate;
  HookedDisk disk;
  disk.before_sync = [&] {
    gate.pass();
    return Result<void>();
  };
  const auto store = open_store(dir.path(), disk);
  const std::vector<Chunk> chunks = random_chunks(10);
  append_all(*store, {chunks[0]});
  gate.hold(true);
  const int before = gate.passed_count();
  std::thread first([&] { EXPECT_TRUE(store->sync()); });
  ASSERT_TRUE(testing::eventually([&] { return gate.waiting_count() == 1; }));

  EXPECT_TRUE(is_whole(*store, chunks[0]));
  std::vector<std::thread> others;
  for (std::size_t i = 1; i < chunks.size(); ++i) {
    append_all(*store, {chunks[i]});
    EXPECT_TRUE(is_whole(*store, chunks[i]));
    others.emplace_back([&] { EXPECT_TRUE(store->sync()); });
  }
  gate.hold(false);
  first.join();
  for (std::thread& thread : others) thread.join();
  EXPECT_GE(gate.passed_count() - before, 2) << "what was appended during an fsync needs another";
  EXPECT_LE(gate.passed_count() - before, 4);
}

// Claim: a chunk that is removed while it is read is absent to its reader, and not corrupt; the same for check().
//
// Method: the removal happens between looking the chunk up and reading its bytes.
TEST(PackStore, CallsAChunkAbsentThatIsRemovedWhileItIsRead) {
  const TempDir dir(testing::in_memory());
  HookedDisk disk;
  const auto store = open_store(dir.path(), disk);
  const Chunk kept = random_chunk(99);
  for (std::uint64_t seed = 1; seed <= 3; ++seed) {
    const Chunk chunk = random_chunk(seed, 5000);
    append_all(*store, {kept, chunk});
    ASSERT_TRUE(store->sync());
    disk.before_read = [&, done = false](std::uint64_t, std::size_t bytes) mutable -> Result<void> {
      if (bytes < 5000 || std::exchange(done, true)) return {};
      EXPECT_TRUE(store->remove(chunk.id));
      EXPECT_TRUE(store->sync());
      return {};
    };
    if (seed == 1) {
      EXPECT_EQ(store->read(chunk.id).error().code, ENOENT);
    } else if (seed == 2) {
      EXPECT_EQ(store->read_range(chunk.id, 0, 5000).error().code, ENOENT);
    } else {
      const ScanReport report = store->check(true).value();
      EXPECT_TRUE(report.bad.empty());
      EXPECT_TRUE(report.damage.empty());
    }
    EXPECT_TRUE(is_absent(*store, chunk));
  }
}

}  // namespace
}  // namespace coffer::pack
