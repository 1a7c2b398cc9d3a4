#include <sys/stat.h>

#include <cerrno>
#include <map>

#include "tests/common/pack/chunks.h"
#include "tests/common/pack/hooked_disk.h"
#include "tests/testing/faulty_disk.h"

namespace coffer::pack {
namespace {

using testing::FaultyDisk;
using testing::TempDir;

std::uint64_t disk_bytes(const std::string& path) {
  struct stat status {};
  EXPECT_EQ(stat(path.c_str(), &status), 0);
  return static_cast<std::uint64_t>(status.st_blocks) * 512;
}

TEST(PackRemoval, ForgetsTheChunkAtOnceAndForGood) {
  const TempDir dir(testing::in_memory());
  const std::vector<Chunk> chunks = random_chunks(3);
  auto store = open_store(dir.path());
  append_all(*store, chunks);
  ASSERT_TRUE(store->sync());
  ASSERT_TRUE(store->remove(chunks[1].id));
  ASSERT_TRUE(store->remove(random_chunk(99).id)) << "absent chunks are removed already";
  EXPECT_TRUE(is_absent(*store, chunks[1]));
  EXPECT_EQ(store->chunk_count(), 2u);
  EXPECT_EQ(store->stored_bytes(), 600u);
  ASSERT_TRUE(store->sync());
  EXPECT_TRUE(is_absent(*store, chunks[1]));
  EXPECT_TRUE(store->check(true)->damage.empty());
  store.reset();

  EXPECT_TRUE(is_absent(*open_store(dir.path()), chunks[1]));
  EXPECT_EQ(PackStore::rebuild_index(os::real_disk(), dir.path())->chunks, 2u);
  store = open_store(dir.path());
  EXPECT_TRUE(is_absent(*store, chunks[1]));
  EXPECT_TRUE(is_whole(*store, chunks[0]));
  EXPECT_TRUE(is_whole(*store, chunks[2]));
}

TEST(PackRemoval, ForgetsAChunkThatWasNeverSynced) {
  const TempDir dir(testing::in_memory());
  const std::vector<Chunk> chunks = random_chunks(2);
  auto store = open_store(dir.path());
  append_all(*store, chunks);
  ASSERT_TRUE(store->remove(chunks[0].id));
  EXPECT_TRUE(is_absent(*store, chunks[0]));
  ASSERT_TRUE(store->sync());
  store.reset();
  delete_index(dir.path());
  store = open_store(dir.path());
  EXPECT_TRUE(is_absent(*store, chunks[0]));
  EXPECT_TRUE(is_whole(*store, chunks[1]));
}

TEST(PackRemoval, LetsTheChunkComeBack) {
  const TempDir dir(testing::in_memory());
  const Chunk chunk = random_chunk(1);
  const Chunk other = random_chunk(2);
  auto store = open_store(dir.path());
  append_all(*store, {chunk, other});
  for (int round = 0; round < 4; ++round) {
    if (round % 2 == 0) {
      ASSERT_TRUE(store->sync());
    }
    ASSERT_TRUE(store->remove(chunk.id));
    if (round / 2 == 0) {
      ASSERT_TRUE(store->sync());
    }
    append_all(*store, {chunk});
    EXPECT_TRUE(is_whole(*store, chunk));
  }
  ASSERT_TRUE(store->sync());
  EXPECT_TRUE(is_whole(*store, chunk));
  EXPECT_TRUE(store->check(true)->damage.empty());
  store.reset();
  EXPECT_TRUE(is_whole(*open_store(dir.path()), chunk));
  EXPECT_EQ(PackStore::rebuild_index(os::real_disk(), dir.path())->chunks, 2u);
}

TEST(PackRemoval, GivesTheDiskSpaceBack) {
  const TempDir dir(testing::in_memory());
  const std::vector<Chunk> chunks = random_chunks(4, 1u << 20);
  auto store = open_store(dir.path());
  append_all(*store, chunks);
  ASSERT_TRUE(store->sync());
  const std::uint64_t before = disk_bytes(first_pack(dir.path()));
  for (std::size_t i = 0; i < 3; ++i) ASSERT_TRUE(store->remove(chunks[i].id));
  ASSERT_TRUE(store->sync());
  EXPECT_LE(disk_bytes(first_pack(dir.path())), before - (3u << 20) + (64u << 10));
  EXPECT_TRUE(is_whole(*store, chunks[3]));
}

TEST(PackRemoval, DeletesAPackWithoutChunks) {
  const TempDir dir(testing::in_memory());
  const std::vector<Chunk> chunks = random_chunks(5);
  const PackOptions small{.pack_bytes_max = 1000};
  auto store = open_store(dir.path(), os::real_disk(), small);
  append_all(*store, chunks);
  ASSERT_TRUE(store->sync());
  for (const Chunk& chunk : chunks) ASSERT_TRUE(store->remove(chunk.id));
  ASSERT_TRUE(store->sync());
  EXPECT_EQ(store->chunk_count(), 0u);
  EXPECT_FALSE(os::real_disk().open(first_pack(dir.path()), os::Open::read));
  EXPECT_TRUE(os::real_disk().open(dir / "00000003.pack", os::Open::read)) << "the last one is still appended to";
  append_all(*store, {chunks[0]});
  store.reset();
  EXPECT_TRUE(is_whole(*open_store(dir.path(), os::real_disk(), small), chunks[0]));
}

// Claim: a record that cannot be marked, because the disk cannot read its sector, does not stop the store.
TEST(PackRemoval, GoesOnThoughTheDiskCannotMarkTheRecord) {
  const TempDir dir(testing::in_memory());
  HookedDisk disk;
  auto store = open_store(dir.path(), disk);
  const Chunk gone = random_chunk(1);
  const Chunk other = random_chunk(2);
  append_all(*store, {gone, other});
  ASSERT_TRUE(store->sync());
  disk.before_write = [](std::uint64_t at, std::size_t) -> Result<void> {
    return at == kPackHeaderBytes + kStateAt ? Result<void>(os_error(EIO, "write")) : Result<void>();
  };
  ASSERT_TRUE(store->remove(gone.id));
  EXPECT_TRUE(store->sync());
  EXPECT_FALSE(store->is_broken());
  EXPECT_TRUE(is_absent(*store, gone));
  store.reset();
  store = open_store(dir.path(), disk);
  ASSERT_TRUE(store);
  EXPECT_TRUE(is_absent(*store, gone));
  EXPECT_TRUE(is_whole(*store, other));
}

// Claim: a chunk that was removed and came again is there all the time, also while the old record is being marked.
TEST(PackRemoval, KnowsTheNewCopyWhileTheOldOneIsOnItsWayOut) {
  const TempDir dir(testing::in_memory());
  HookedDisk disk;
  const auto store = open_store(dir.path(), disk);
  const Chunk chunk = random_chunk(1);
  append_all(*store, {chunk});
  ASSERT_TRUE(store->sync());
  ASSERT_TRUE(store->remove(chunk.id));
  append_all(*store, {chunk});
  int syncs = 0;
  disk.before_sync = [&]() -> Result<void> {
    ++syncs;
    EXPECT_TRUE(is_whole(*store, chunk));
    return {};
  };
  ASSERT_TRUE(store->sync());
  EXPECT_GE(syncs, 2) << "of the pack, and of the mark";
  EXPECT_TRUE(is_whole(*store, chunk));
}

TEST(PackRemoval, DoesNotBringASecondCopyBack) {
  const TempDir dir(testing::in_memory());
  const Chunk chunk = random_chunk(1);
  FaultyDisk disk;
  auto store = open_store(dir.path(), disk);
  append_all(*store, {chunk});
  ASSERT_TRUE(store->remove(chunk.id));
  append_all(*store, {chunk});
  disk.fail_from_call(1, EIO);  // Killed: both records are stored, and the index knows of none.
  store.reset();

  store = open_store(dir.path());
  EXPECT_TRUE(is_whole(*store, chunk));
  EXPECT_EQ(store->chunk_count(), 1u);
  ASSERT_TRUE(store->remove(chunk.id));
  store.reset();
  delete_index(dir.path());
  EXPECT_TRUE(is_absent(*open_store(dir.path()), chunk));
}

// Claim: a record whose removal was decided on is not taken for a stored one at the next open(), neither by itself nor
// instead of a later record of the same chunk.
//
// Method: the process ends before the mark of a record that the index has not seen otherwise; in the second round the
// chunk has come back by then.
TEST(PackRemoval, FinishesForARecordThatTheIndexHasNotSeen) {
  for (const bool comes_back : {false, true}) {
    SCOPED_TRACE(comes_back);
    const TempDir dir(testing::in_memory());
    HookedDisk disk;
    auto store = open_store(dir.path(), disk);
    const Chunk chunk = random_chunk(1);
    const Chunk other = random_chunk(2);
    append_all(*store, {other});
    ASSERT_TRUE(store->sync());
    append_all(*store, {chunk});
    ASSERT_TRUE(store->remove(chunk.id));
    bool is_dead = false;
    disk.before_write = [&](std::uint64_t, std::size_t bytes) -> Result<void> {
      if (bytes != 1) return {};
      if (comes_back) append_all(*store, {chunk});
      is_dead = true;
      return os_error(EIO, "killed");
    };
    disk.before_sync = [&]() -> Result<void> {
      return is_dead ? Result<void>(os_error(EIO, "killed")) : Result<void>();
    };
    ASSERT_TRUE(store->sync());
    ASSERT_TRUE(is_dead);
    store.reset();

    store = open_store(dir.path());
    EXPECT_TRUE(comes_back ? is_whole(*store, chunk) : is_absent(*store, chunk));
    EXPECT_TRUE(is_whole(*store, other));
    EXPECT_EQ(store->chunk_count(), comes_back ? 2u : 1u);
    EXPECT_TRUE(store->check(true)->bad.empty());
    EXPECT_TRUE(store->check(true)->damage.empty());
  }
}

/// What happened to each chunk, as the caller of a store may believe it.
struct Ledger {
  std::map<std::size_t, bool> is_stored;  ///< By number, as of the last sync() that worked.
  std::map<std::size_t, bool> wanted;     ///< As of the last call.
};

/// Appends, removes and syncs until a call fails.
Result<void> run(PackStore& store, const std::vector<Chunk>& chunks, Ledger& ledger) {
  const auto append = [&](std::size_t i) -> Result<void> {
    ledger.wanted[i] = true;  // Also where it fails: a sync that it calls may be what failed.
    return store.append(chunks[i].id, chunks[i].bytes);
  };
  const auto remove = [&](std::size_t i) -> Result<void> {
    ledger.wanted[i] = false;
    return store.remove(chunks[i].id);
  };
  const auto sync = [&]() -> Result<void> {
    COFFER_DO(store.sync());
    ledger.is_stored = ledger.wanted;
    return {};
  };
  for (std::size_t i = 0; i < 5; ++i) COFFER_DO(append(i));
  COFFER_DO(sync());
  COFFER_DO(remove(0));
  COFFER_DO(append(5));
  COFFER_DO(sync());
  COFFER_DO(remove(1));  // The first pack is empty now.
  COFFER_DO(remove(4));
  COFFER_DO(sync());
  COFFER_DO(append(0));
  COFFER_DO(remove(5));
  return sync();
}

// Claim: whenever the process ends, each chunk is whole or absent, what sync() had said holds, and it holds still when
// the index is made anew.
//
// Method: end it at the first disk call, then at the second, and so on, until run() gets through.
TEST(PackRemoval, LeavesChunksWholeOrAbsentWheneverTheProcessIsKilled) {
  const std::vector<Chunk> chunks = random_chunks(6);
  const PackOptions small{.pack_bytes_max = 1000};
  bool got_through = false;
  for (std::uint64_t call = 1; !got_through; ++call) {
    SCOPED_TRACE(::testing::Message() << "killed at disk call " << call);
    const TempDir dir(testing::in_memory());
    FaultyDisk disk;
    Ledger ledger;
    {
      const auto store = open_store(dir.path(), disk, small);
      disk.fail_from_call(call, EIO);
      got_through = run(*store, chunks, ledger).has_value();
      disk.fail_from_call(1, EIO);
    }
    for (const bool lose_index : {false, true}) {
      if (lose_index) delete_index(dir.path());
      const auto store = open_store(dir.path(), os::real_disk(), small);
      ASSERT_NE(store, nullptr);
      for (std::size_t i = 0; i < chunks.size(); ++i) {
        const bool whole = is_whole(*store, chunks[i]);
        EXPECT_TRUE(whole || is_absent(*store, chunks[i])) << "chunk " << i;
        const bool settled = ledger.is_stored.contains(i) && ledger.is_stored[i] == ledger.wanted[i];
        EXPECT_TRUE(!settled || whole == ledger.is_stored[i]) << "chunk " << i;
      }
      const ScanReport report = store->check(true).value();
      EXPECT_TRUE(report.bad.empty());
      EXPECT_TRUE(report.damage.empty()) << report.damage.front();
    }
  }
}

}  // namespace
}  // namespace coffer::pack
