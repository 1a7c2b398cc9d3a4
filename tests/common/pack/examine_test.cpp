#include <algorithm>
#include <cerrno>
#include <filesystem>

#include "tests/common/pack/chunks.h"
#include "tests/common/pack/hooked_disk.h"

namespace coffer::pack {
namespace {

using testing::TempDir;

std::uint64_t record_at(std::size_t index) { return kPackHeaderBytes + index * (kRecordHeaderBytes + 300); }

/// A store with three synced chunks of 300 bytes.
struct Three {
  Three() { open(); }
  void open() {
    store = open_store(dir.path());
    append_all(*store, chunks);
    EXPECT_TRUE(store->sync());
  }
  TempDir dir{testing::in_memory()};
  std::vector<Chunk> chunks = random_chunks(3);
  std::unique_ptr<PackStore> store;
};

// Claim: wherever in its record a bit was flipped, payload or header, the chunk is set aside, a good copy can take its
// place, and nothing of the damage is left for check(); the other chunks are whole all the time.
TEST(PackExamine, SetsADamagedChunkAsideAndLetsAGoodCopyTakeItsPlace) {
  for (const std::uint64_t offset : {0u, 10u, 36u, 44u, 48u, 200u, 347u}) {
    SCOPED_TRACE(offset);
    Three three;
    PackStore& store = *three.store;
    const Chunk& chunk = three.chunks[1];
    flip_byte(first_pack(three.dir.path()), record_at(1) + offset);
    const bool is_payload = offset >= kRecordHeaderBytes;
    EXPECT_EQ(*store.examine(chunk.id), is_payload ? Soundness::damaged : Soundness::good);
    if (!is_payload) continue;  // The index knows where the payload lies; check() names the header.
    EXPECT_TRUE(is_absent(store, chunk));
    EXPECT_EQ(*store.examine(chunk.id), Soundness::absent);
    EXPECT_EQ(file_bytes(three.dir.path().string() + "/quarantine/" + chunk.id.hex()).size(), 300u);
    EXPECT_TRUE(store.check(true)->damage.empty());
    append_all(store, {chunk});
    EXPECT_TRUE(is_whole(store, chunk));
    EXPECT_TRUE(is_whole(store, three.chunks[0]));
    EXPECT_TRUE(is_whole(store, three.chunks[2]));
    three.store.reset();
    EXPECT_EQ(PackStore::rebuild_index(os::real_disk(), three.dir.path())->chunks, 3u);
    three.store = open_store(three.dir.path());
    EXPECT_TRUE(is_whole(*three.store, chunk));
    EXPECT_TRUE(three.store->check(true)->bad.empty());
  }
}

// Claim: header and payload both bad: set aside, the header is written anew as removed, and no search is needed later.
TEST(PackExamine, MendsTheHeaderOfWhatItSetsAside) {
  Three three;
  flip_byte(first_pack(three.dir.path()), record_at(1) + 3);
  flip_byte(first_pack(three.dir.path()), record_at(1) + 100);
  EXPECT_EQ(*three.store->examine(three.chunks[1].id), Soundness::damaged);
  three.store.reset();
  const auto report = PackStore::rebuild_index(os::real_disk(), three.dir.path());
  EXPECT_EQ(report->chunks, 2u);
  EXPECT_TRUE(report->damage.empty());
}

// Claim: a pack that is gone or cut short makes its chunks absent, not the store unusable.
TEST(PackExamine, TakesTheChunksOfALostPackForDamaged) {
  for (const bool is_gone : {true, false}) {
    Three three;
    const std::string pack = first_pack(three.dir.path());
    three.store.reset();
    three.store = open_store(three.dir.path(), os::real_disk(), {.pack_bytes_max = 1});  // What comes begins a pack.
    const Chunk later = random_chunk(77);
    append_all(*three.store, {later});
    ASSERT_TRUE(three.store->sync());
    three.store.reset();
    if (is_gone) std::filesystem::remove(pack);  // While it is open, its descriptor still reads it.
    three.store = open_store(three.dir.path());
    if (!is_gone) std::filesystem::resize_file(pack, record_at(1) + 60);
    for (const Chunk& chunk : three.chunks) {
      const Soundness found = *three.store->examine(chunk.id);
      EXPECT_EQ(found == Soundness::good, !is_gone && chunk.id == three.chunks[0].id);
    }
    append_all(*three.store, three.chunks);
    ASSERT_TRUE(three.store->sync());
    for (const Chunk& chunk : three.chunks) EXPECT_TRUE(is_whole(*three.store, chunk));
    EXPECT_TRUE(is_whole(*three.store, later));
    three.store.reset();
    three.store = open_store(three.dir.path());
    for (const Chunk& chunk : three.chunks) EXPECT_TRUE(is_whole(*three.store, chunk));
  }
}

// Claim: a disk that fails to read for a moment costs no chunk, whichever read is the first that it can do again.
TEST(PackExamine, LosesNothingToADiskThatFailsForAMoment) {
  for (int failing = 1; failing <= 3; ++failing) {
    SCOPED_TRACE(failing);
    const TempDir dir(testing::in_memory());
    HookedDisk disk;
    const auto store = open_store(dir.path(), disk);
    const Chunk chunk = random_chunk(1, 20'000);
    append_all(*store, {chunk});
    ASSERT_TRUE(store->sync());
    int failed = 0;
    disk.before_read = [&](std::uint64_t, std::size_t bytes) -> Result<void> {
      if (bytes != 20'000 || ++failed > failing) return {};
      return os_error(EIO, "read");
    };
    EXPECT_EQ(*store->examine(chunk.id), Soundness::good);
    EXPECT_TRUE(is_whole(*store, chunk));
  }
}

// Claim: of a chunk with a sector that the disk cannot read nothing is destroyed: it is absent, so that a good copy may
// come, what can be read of it is kept aside, and its record stays as it is until that copy is there.
TEST(PackExamine, DestroysNothingThatTheDiskCannotRead) {
  const TempDir dir(testing::in_memory());
  HookedDisk disk;
  auto store = open_store(dir.path(), disk);
  const Chunk chunk = random_chunk(1, 20'000);
  const Chunk other = random_chunk(2);
  append_all(*store, {chunk, other});
  ASSERT_TRUE(store->sync());
  const Bytes pack = file_bytes(first_pack(dir.path()));
  disk.before_read = [&](std::uint64_t at, std::size_t bytes) -> Result<void> {
    return at < 12'288 && at + bytes > 8192 ? Result<void>(os_error(EIO, "read")) : Result<void>();
  };
  EXPECT_EQ(*store->examine(chunk.id), Soundness::damaged);
  EXPECT_TRUE(is_absent(*store, chunk));
  EXPECT_EQ(store->chunk_count(), 1u);
  EXPECT_EQ(file_bytes(first_pack(dir.path())), pack) << "neither marked nor punched";
  const Bytes kept = file_bytes(dir.path().string() + "/quarantine/" + chunk.id.hex());
  ASSERT_EQ(kept.size(), chunk.bytes.size());
  const std::size_t from = 8192 - kPackHeaderBytes - kRecordHeaderBytes;
  EXPECT_TRUE(std::equal(kept.begin(), kept.begin() + static_cast<std::ptrdiff_t>(from), chunk.bytes.begin()));
  EXPECT_TRUE(std::equal(kept.begin() + static_cast<std::ptrdiff_t>(from + 4096), kept.end(),
                         chunk.bytes.begin() + static_cast<std::ptrdiff_t>(from + 4096)));

  append_all(*store, {chunk});
  ASSERT_TRUE(store->sync());
  EXPECT_TRUE(is_whole(*store, chunk));
  EXPECT_EQ(file_bytes(first_pack(dir.path()))[kPackHeaderBytes + kStateAt], kStateRemoved)
      << "its place is given back";
  store.reset();
  delete_index(dir.path());
  store = open_store(dir.path());
  EXPECT_TRUE(is_whole(*store, chunk));
  EXPECT_TRUE(is_whole(*store, other));
  EXPECT_EQ(store->chunk_count(), 2u);
}

/// A store of two chunks of which the disk cannot read the first, from its third sector.
struct Unreadable {
  Unreadable() {
    store = open_store(dir.path(), disk);
    append_all(*store, {chunk, other});
    EXPECT_TRUE(store->sync());
    disk.before_read = [](std::uint64_t at, std::size_t bytes) -> Result<void> {
      return at < 12'288 && at + bytes > 8192 ? Result<void>(os_error(EIO, "read")) : Result<void>();
    };
  }
  void restart() {
    store.reset();
    store = open_store(dir.path(), disk);
  }
  std::vector<object::ChunkId> walk() {
    std::vector<object::ChunkId> ids;
    Place place;
    const auto chunks = store->chunks_from(place, 10);
    for (const StoredChunk& one : *chunks) ids.push_back(one.id);
    return ids;
  }
  bool is_marked() { return file_bytes(first_pack(dir.path()))[kPackHeaderBytes + kStateAt] == kStateRemoved; }

  const TempDir dir{testing::in_memory()};
  HookedDisk disk;
  const Chunk chunk = random_chunk(1, 20'000);
  const Chunk other = random_chunk(2);
  std::unique_ptr<PackStore> store;
};

// Claim: that a chunk is there and cannot be read is known after a restart too: it is walked over, examined and named,
// until a good copy comes, and then its record goes.
TEST(PackExamine, KnowsAfterARestartWhatTheDiskCannotRead) {
  Unreadable one;
  EXPECT_EQ(*one.store->examine(one.chunk.id), Soundness::damaged);
  one.restart();
  EXPECT_TRUE(is_absent(*one.store, one.chunk));
  EXPECT_EQ(*one.store->examine(one.chunk.id), Soundness::damaged);
  EXPECT_EQ(one.walk(), (std::vector<object::ChunkId>{one.chunk.id, one.other.id}));
  const auto report = one.store->check(false);
  ASSERT_TRUE(report) << report.error().what;
  EXPECT_EQ(report->bad, std::vector<object::ChunkId>{one.chunk.id});
  EXPECT_FALSE(one.is_marked());

  append_all(*one.store, {one.chunk});
  ASSERT_TRUE(one.store->sync());
  EXPECT_TRUE(one.is_marked()) << "its place is given back";
  one.restart();
  EXPECT_EQ(one.store->chunk_count(), 2u);
  EXPECT_EQ(one.walk().size(), 2u);
  EXPECT_EQ(*one.store->examine(one.chunk.id), Soundness::good);
}

TEST(PackExamine, TakesAChunkBackThatTheDiskCanReadAgain) {
  Unreadable one;
  EXPECT_EQ(*one.store->examine(one.chunk.id), Soundness::damaged);
  one.restart();
  one.disk.before_read = [](std::uint64_t, std::size_t) { return Result<void>(); };
  EXPECT_EQ(*one.store->examine(one.chunk.id), Soundness::good);
  EXPECT_TRUE(is_whole(*one.store, one.chunk));
  EXPECT_EQ(one.store->chunk_count(), 2u);
  one.restart();
  EXPECT_TRUE(is_whole(*one.store, one.chunk));
  EXPECT_TRUE(one.store->check(true)->bad.empty());
}

// Claim: a pack stays while it holds what the disk may be able to read later, though all else in it was removed.
TEST(PackExamine, KeepsThePackOfWhatTheDiskCannotReadAfterARestartToo) {
  Unreadable one;
  EXPECT_EQ(*one.store->examine(one.chunk.id), Soundness::damaged);
  one.store.reset();
  one.store = open_store(one.dir.path(), one.disk, {.pack_bytes_max = 1000});
  append_all(*one.store, {random_chunk(3)});
  ASSERT_TRUE(one.store->remove(one.other.id));
  ASSERT_TRUE(one.store->sync());
  EXPECT_TRUE(std::filesystem::exists(first_pack(one.dir.path())));
  ASSERT_TRUE(one.store->remove(one.chunk.id));
  ASSERT_TRUE(one.store->sync());
  EXPECT_FALSE(std::filesystem::exists(first_pack(one.dir.path())));
}

// Claim: a copy that came in the last moment before a kill is found, and the record that it replaces goes.
TEST(PackExamine, FindsTheCopyThatCameJustBeforeAKill) {
  Unreadable one;
  EXPECT_EQ(*one.store->examine(one.chunk.id), Soundness::damaged);
  append_all(*one.store, {one.chunk});
  one.disk.before_sync = [] { return Result<void>(os_error(EIO, "killed")); };
  one.store.reset();
  one.disk.before_sync = [] { return Result<void>(); };
  one.store = open_store(one.dir.path(), one.disk);
  EXPECT_TRUE(is_whole(*one.store, one.chunk));
  ASSERT_TRUE(one.store->sync());
  EXPECT_TRUE(one.is_marked());
  EXPECT_EQ(one.walk().size(), 2u);
}

// Claim: a chunk that the disk could not read for a while is not taken for a copy of itself, and removed, by a process
// that comes after a kill.
TEST(PackExamine, LosesNothingToAKillBehindIt) {
  Unreadable one;
  append_all(*one.store, {random_chunk(3)});
  ASSERT_TRUE(one.store->sync());
  const Chunk last = random_chunk(4, 20'000);
  append_all(*one.store, {last});
  ASSERT_TRUE(one.store->sync());
  one.disk.before_read = [](std::uint64_t at, std::size_t bytes) -> Result<void> {
    return at < 36'864 && at + bytes > 32'768 ? Result<void>(os_error(EIO, "read")) : Result<void>();
  };
  EXPECT_EQ(*one.store->examine(last.id), Soundness::damaged);
  const TempDir killed(testing::in_memory());
  std::filesystem::copy(one.dir.path(), killed.path(), std::filesystem::copy_options::recursive);
  for (const bool again : {false, true}) {
    SCOPED_TRACE(again);
    const auto store = open_store(killed.path());
    if (!again) {
      EXPECT_EQ(*store->examine(last.id), Soundness::good);
    }
    EXPECT_TRUE(is_whole(*store, last));
    ASSERT_TRUE(store->sync());
    EXPECT_TRUE(is_whole(*store, last));
    EXPECT_TRUE(store->check(true)->bad.empty());
  }
}

// Claim: a walk meets what is stored, also where its row waits for others.
TEST(PackExamine, WalksChunksWhoseRowsWait) {
  const TempDir dir(testing::in_memory());
  const auto store = open_store(dir.path());
  for (const Chunk& chunk : random_chunks(3)) {
    append_all(*store, {chunk});
    ASSERT_TRUE(store->sync());
  }
  Place place;
  EXPECT_EQ(store->chunks_from(place, 10)->size(), 3u);
}

TEST(PackExamine, WalksTheChunksInTheOrderOfTheDisk) {
  Three three;
  Place place;
  EXPECT_EQ(three.store->chunks_from(place, 2)->back().id, three.chunks[1].id);
  const auto rest = three.store->chunks_from(place, 2);
  ASSERT_EQ(rest->size(), 1u);
  EXPECT_EQ(rest->front().id, three.chunks[2].id);
  EXPECT_TRUE(three.store->chunks_from(place, 2)->empty());
}

}  // namespace
}  // namespace coffer::pack
