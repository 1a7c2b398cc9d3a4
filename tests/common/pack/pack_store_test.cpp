#include "common/pack/pack_store.h"

#include <sys/stat.h>

#include <cerrno>
#include <set>

#include "common/db/database.h"
#include "tests/common/pack/chunks.h"
#include "tests/common/pack/hooked_disk.h"
#include "tests/testing/faulty_disk.h"

namespace coffer::pack {
namespace {

using testing::FaultyDisk;
using testing::TempDir;

TEST(PackStore, ReadsBackWhatWasAppended) {
  const TempDir dir(testing::in_memory());
  const auto store = open_store(dir.path());
  const std::vector<Chunk> chunks = random_chunks(20);
  append_all(*store, chunks);
  for (const Chunk& chunk : chunks) EXPECT_TRUE(is_whole(*store, chunk));
  ASSERT_TRUE(store->sync());
  for (const Chunk& chunk : chunks) EXPECT_TRUE(is_whole(*store, chunk));
  EXPECT_TRUE(is_absent(*store, random_chunk(99)));
  EXPECT_EQ(store->chunk_count(), 20u);
  EXPECT_EQ(store->stored_bytes(), 20u * 300);
}

TEST(PackStore, KeepsAnEmptyChunkAndOneLargerThanAPack) {
  const TempDir dir(testing::in_memory());
  const auto store = open_store(dir.path(), os::real_disk(), {.pack_bytes_max = 1000});
  const std::vector<Chunk> chunks = {chunk_of({}), random_chunk(1, 5000), random_chunk(2, 10), random_chunk(3, 5000)};
  append_all(*store, chunks);
  ASSERT_TRUE(store->sync());
  for (const Chunk& chunk : chunks) EXPECT_TRUE(is_whole(*store, chunk));
}

TEST(PackStore, ReadsRangesThatLieWithinTheChunk) {
  const TempDir dir(testing::in_memory());
  const auto store = open_store(dir.path());
  const Chunk chunk = random_chunk(1);
  append_all(*store, {chunk});
  EXPECT_EQ(*store->read_range(chunk.id, 100, 50), copy_of(ByteView(chunk.bytes).subspan(100, 50)));
  EXPECT_TRUE(store->read_range(chunk.id, 300, 0));
  EXPECT_EQ(store->read_range(chunk.id, 300, 1).error().fault, Fault::corrupt);
  EXPECT_EQ(store->read_range(chunk.id, ~0u, ~0u).error().fault, Fault::corrupt);
  EXPECT_EQ(store->read_range(random_chunk(2).id, 0, 1).error().code, ENOENT);
}

// Claim: a part of one chunk is never given for a part of another, though the index says so; and a rotten header alone
// takes no chunk away.
TEST(PackStore, ReadsNoRangeOfAnotherChunk) {
  const TempDir dir(testing::in_memory());
  const std::vector<Chunk> chunks = random_chunks(2);
  append_all(*open_store(dir.path()), chunks);
  {
    auto db = db::Database::open(dir / "index.db", {});
    ASSERT_TRUE(db->execute("CREATE TEMP TABLE ids AS SELECT id FROM chunks ORDER BY offset"));
    ASSERT_TRUE(db->execute("UPDATE chunks SET id = randomblob(32)"));
    ASSERT_TRUE(db->execute("UPDATE chunks SET id = (SELECT id FROM ids WHERE rowid = 2) WHERE offset = 32"));
    ASSERT_TRUE(db->execute("UPDATE chunks SET id = (SELECT id FROM ids WHERE rowid = 1) WHERE offset <> 32"));
  }
  {
    const auto store = open_store(dir.path());
    for (const Chunk& chunk : chunks) {
      const Result<Bytes> part = store->read_range(chunk.id, 10, 20);
      ASSERT_FALSE(part);
      EXPECT_EQ(part.error().fault, Fault::corrupt);
      EXPECT_EQ(store->read(chunk.id).error().fault, Fault::corrupt);
    }
  }
  const TempDir rotten(testing::in_memory());
  const auto store = open_store(rotten.path());
  append_all(*store, chunks);
  flip_byte(first_pack(rotten.path()), kPackHeaderBytes + kRecordHeaderBytes + 300 + 10);
  EXPECT_EQ(*store->read_range(chunks[1].id, 10, 20), copy_of(ByteView(chunks[1].bytes).subspan(10, 20)));
}

// Whoever reads a corrupt chunk asks for another copy; of a failed disk it would wait for the end.
TEST(PackStore, CallsAChunkCorruptWhoseSectorCannotBeRead) {
  const TempDir dir(testing::in_memory());
  HookedDisk disk;
  const auto store = open_store(dir.path(), disk);
  const Chunk chunk = random_chunk(1);
  append_all(*store, {chunk});
  int code = EIO;
  disk.before_read = [&](std::uint64_t, std::size_t) -> Result<void> { return os_error(code, "read"); };
  EXPECT_EQ(store->read(chunk.id).error().fault, Fault::corrupt);
  EXPECT_EQ(store->read_range(chunk.id, 10, 20).error().fault, Fault::corrupt);
  EXPECT_EQ(store->read(chunk.id).error().code, EIO);
  code = ENOMEM;
  EXPECT_EQ(store->read(chunk.id).error().fault, Fault::local_io);
  EXPECT_EQ(store->read_range(chunk.id, 10, 20).error().fault, Fault::local_io);
}

TEST(PackStore, AppendsAChunkOnlyOnce) {
  const TempDir dir(testing::in_memory());
  const Chunk chunk = random_chunk(1);
  auto store = open_store(dir.path());
  for (int i = 0; i < 3; ++i) ASSERT_TRUE(store->append(chunk.id, chunk.bytes));
  ASSERT_TRUE(store->sync());
  ASSERT_TRUE(store->append(chunk.id, chunk.bytes));
  store.reset();
  store = open_store(dir.path());
  ASSERT_TRUE(store->append(chunk.id, chunk.bytes));
  EXPECT_EQ(store->chunk_count(), 1u);
  EXPECT_EQ(file_bytes(first_pack(dir.path())).size(), kPackHeaderBytes + kRecordHeaderBytes + 300);
}

TEST(PackStore, HasAllOfItAfterAnOrderlyEndWithoutSync) {
  const TempDir dir(testing::in_memory());
  const std::vector<Chunk> chunks = random_chunks(5);
  append_all(*open_store(dir.path()), chunks);
  const auto store = open_store(dir.path());
  for (const Chunk& chunk : chunks) EXPECT_TRUE(is_whole(*store, chunk));
}

TEST(PackStore, FillsOnePackAfterTheOther) {
  const TempDir dir(testing::in_memory());
  const std::vector<Chunk> chunks = random_chunks(20);
  auto store = open_store(dir.path(), os::real_disk(), {.pack_bytes_max = 1000});
  append_all(*store, chunks);
  EXPECT_EQ(os::real_disk().list(dir.path())->size(), 10u + 4);  // Two records to a pack; index and lock.
  store = nullptr;
  store = open_store(dir.path(), os::real_disk(), {.pack_bytes_max = 1000});
  for (const Chunk& chunk : chunks) EXPECT_TRUE(is_whole(*store, chunk));
  const std::vector<std::string> names = os::real_disk().list(dir.path()).value();
  for (const std::string& name : names) {
    if (name.ends_with(".pack")) {
      EXPECT_LE(file_bytes(dir / name).size(), 1000u);
    }
  }
}

TEST(PackStore, IsOpenOnlyOnceAtATime) {
  const TempDir dir(testing::in_memory());
  auto store = open_store(dir.path());
  EXPECT_EQ(PackStore::open(os::real_disk(), dir.path(), {}).error().fault, Fault::refused);
  EXPECT_EQ(PackStore::rebuild_index(os::real_disk(), dir.path()).error().fault, Fault::refused);
  store.reset();
  EXPECT_TRUE(PackStore::open(os::real_disk(), dir.path(), {}));
}

TEST(PackStore, VisitsEveryChunkOnce) {
  const TempDir dir(testing::in_memory());
  const auto store = open_store(dir.path());
  std::vector<Chunk> chunks = random_chunks(2500, 10);
  append_all(*store, chunks);
  ASSERT_TRUE(store->sync());
  const Chunk late = random_chunk(9999, 10);
  append_all(*store, {late});
  ASSERT_TRUE(store->remove(chunks[7].id));
  std::multiset<object::ChunkId> expected;
  for (const Chunk& chunk : chunks) {
    if (chunk.id != chunks[7].id) expected.insert(chunk.id);
  }
  expected.insert(late.id);

  std::multiset<object::ChunkId> visited;
  ASSERT_TRUE(store->for_each([&](const StoredChunk& chunk) -> Result<void> {
    visited.insert(chunk.id);
    EXPECT_EQ(*store->find(chunk.id), chunk.bytes);
    return {};
  }));
  EXPECT_EQ(visited, expected);
  EXPECT_EQ(store->for_each([](const StoredChunk&) -> Result<void> { return answer(EPERM); }).error().code, EPERM);
}

TEST(PackStore, SharesOneFsyncAmongManyAppends) {
  const TempDir dir(testing::in_memory());
  FaultyDisk disk;
  const auto store = open_store(dir.path(), disk);
  append_all(*store, random_chunks(50));
  const std::uint64_t before = disk.sync_count();
  ASSERT_TRUE(store->sync());
  EXPECT_EQ(disk.sync_count(), before + 1);
  ASSERT_TRUE(store->sync());
  EXPECT_EQ(disk.sync_count(), before + 1) << "nothing new, nothing to sync";
}

std::int64_t row_count(const std::string& folder) {
  auto index = db::Database::open(folder + "/index.db", {.read_only = true});
  auto count = index->prepare("SELECT count(*) FROM chunks");
  return *count->step() ? count->integer(0) : -1;
}

// Claim: who waits for a sync does not wait for the index, whose rows are written many at a time; and a process that
// is killed before that loses nothing of what was synced.
TEST(PackStore, WritesTheRowsOfManySyncsInOneTransaction) {
  const TempDir dir(testing::in_memory());
  const std::vector<Chunk> chunks = random_chunks(256, 30);
  const auto store = open_store(dir.path());
  for (std::size_t i = 0; i < chunks.size(); ++i) {
    append_all(*store, {chunks[i]});
    ASSERT_TRUE(store->sync());
    ASSERT_EQ(row_count(dir.path()), i + 1 < chunks.size() ? 0 : 256);
    if (i != 100) continue;
    const TempDir killed(testing::in_memory());
    std::filesystem::copy(dir.path(), killed.path(), std::filesystem::copy_options::recursive);
    const auto after = open_store(killed.path());
    for (std::size_t there = 0; there <= i; ++there) EXPECT_TRUE(is_whole(*after, chunks[there])) << there;
  }
  const std::vector<Chunk> large = {random_chunk(1001, 8u << 20), random_chunk(1002, 8u << 20)};
  append_all(*store, large);
  ASSERT_TRUE(store->sync());
  EXPECT_EQ(row_count(dir.path()), 258) << "what a start has to read again is bounded in bytes too";
}

TEST(PackStore, IsAsItWasAfterAFullDisk) {
  const TempDir dir(testing::in_memory());
  FaultyDisk disk;
  const auto store = open_store(dir.path(), disk, {.pack_bytes_max = 1000});
  const std::vector<Chunk> chunks = random_chunks(3);
  append_all(*store, {chunks[0]});
  for (int call = 1; call <= 2; ++call) {  // The record's header; its payload.
    disk.fail_call(static_cast<std::uint64_t>(call), ENOSPC);
    EXPECT_EQ(store->append(chunks[1].id, chunks[1].bytes).error().fault, Fault::full);
    EXPECT_TRUE(is_absent(*store, chunks[1]));
    EXPECT_EQ(file_bytes(first_pack(dir.path())).size(), kPackHeaderBytes + kRecordHeaderBytes + 300);
  }
  disk.heal();
  append_all(*store, {chunks[1]});
  for (const std::uint64_t call : {2, 3}) {  // The next pack; its header.
    disk.fail_call(call, ENOSPC);
    EXPECT_EQ(store->append(chunks[2].id, chunks[2].bytes).error().fault, Fault::full);
  }
  disk.heal();
  append_all(*store, {chunks[2]});
  ASSERT_TRUE(store->sync());
  for (const Chunk& chunk : chunks) EXPECT_TRUE(is_whole(*store, chunk));
  EXPECT_TRUE(store->check(true)->damage.empty());
}

TEST(PackStore, AcceptsNothingAfterAFailedFsyncUntilItIsOpenedAnew) {
  const TempDir dir(testing::in_memory());
  FaultyDisk disk;
  auto store = open_store(dir.path(), disk);
  const std::vector<Chunk> chunks = random_chunks(2);
  append_all(*store, {chunks[0]});
  disk.fail_syncs(EIO);
  EXPECT_EQ(store->sync().error().fault, Fault::local_io);
  disk.heal();
  EXPECT_FALSE(store->sync());
  EXPECT_FALSE(store->append(chunks[1].id, chunks[1].bytes));
  EXPECT_FALSE(store->remove(chunks[0].id));
  store.reset();
  store = open_store(dir.path(), disk);
  EXPECT_TRUE(is_whole(*store, chunks[0]));
  EXPECT_TRUE(store->append(chunks[1].id, chunks[1].bytes));
  EXPECT_TRUE(store->sync());
}

// Recovery relies on it: only the last pack may hold what is not on stable storage.
TEST(PackStore, MakesNoPackBeforeTheLastOneIsSynced) {
  const TempDir dir(testing::in_memory());
  FaultyDisk disk;
  const auto store = open_store(dir.path(), disk, {.pack_bytes_max = 1000});
  const std::vector<Chunk> chunks = random_chunks(3);
  append_all(*store, {chunks[0], chunks[1]});
  disk.fail_syncs(EIO);
  EXPECT_EQ(store->append(chunks[2].id, chunks[2].bytes).error().fault, Fault::local_io);
  EXPECT_TRUE(is_absent(*store, chunks[2]));
  EXPECT_FALSE(os::real_disk().open(dir / "00000002.pack", os::Open::read));
}

}  // namespace
}  // namespace coffer::pack
