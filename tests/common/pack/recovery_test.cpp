#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <fstream>
#include <optional>
#include <set>

#include "common/base/text.h"
#include "common/db/database.h"
#include "tests/common/pack/chunks.h"
#include "tests/common/pack/hooked_disk.h"
#include "tests/testing/eventually.h"
#include "tests/testing/faulty_disk.h"

namespace coffer::pack {
namespace {

using testing::FaultyDisk;
using testing::TempDir;

constexpr std::uint64_t kRecordBytes = kRecordHeaderBytes + 300;  // Of random_chunk().

std::uint64_t record_at(std::size_t index) { return kPackHeaderBytes + index * kRecordBytes; }

/// Appends without a sync, and ends as kill -9 would: the page cache keeps what was written, the index learns nothing.
void append_and_die(const std::string& folder, const std::vector<Chunk>& chunks) {
  FaultyDisk disk;
  const auto store = open_store(folder, disk);
  append_all(*store, chunks);
  disk.fail_from_call(1, EIO);
}

void append_and_close(const std::string& folder, const std::vector<Chunk>& chunks) {
  append_all(*open_store(folder), chunks);
}

// Claim: whatever part of the last record was written, it is cut off, all others stay, and the store goes on.
TEST(PackRecovery, CutsATornTailOffWhereverItIsTorn) {
  const TempDir dir(testing::in_memory());
  const std::vector<Chunk> chunks = random_chunks(3, 30);
  append_and_die(dir.path(), chunks);
  const Bytes whole = file_bytes(first_pack(dir.path()));
  const Bytes index = file_bytes(dir / "index.db");
  const std::uint64_t last_at = kPackHeaderBytes + 2 * (kRecordHeaderBytes + 30);
  ASSERT_EQ(whole.size(), last_at + kRecordHeaderBytes + 30);
  for (std::uint64_t size = last_at; size < whole.size(); ++size) {
    SCOPED_TRACE(size);
    delete_index(dir.path());
    write_file(dir / "index.db", index);
    write_file(first_pack(dir.path()), ByteView(whole).first(size));
    const auto store = open_store(dir.path());
    EXPECT_TRUE(is_whole(*store, chunks[0]));
    EXPECT_TRUE(is_whole(*store, chunks[1]));
    EXPECT_TRUE(is_absent(*store, chunks[2]));
    EXPECT_EQ(file_bytes(first_pack(dir.path())).size(), last_at);
    append_all(*store, {chunks[2]});
    EXPECT_TRUE(is_whole(*store, chunks[2]));
  }
}

// Claim: without an index, a record at the end whose header cannot be read is kept, whatever is appended later, and is
// there again once its header is mended.
TEST(PackRecovery, CutsNothingOffWhereTheIndexWasLost) {
  for (const bool by_person : {false, true}) {
    SCOPED_TRACE(by_person);
    const TempDir dir(testing::in_memory());
    const std::vector<Chunk> chunks = random_chunks(6);
    const PackOptions small{.pack_bytes_max = 1000};  // Two records to a pack.
    const std::string second_pack = dir / "00000002.pack";
    append_all(*open_store(dir.path(), os::real_disk(), small), {chunks[0], chunks[1], chunks[2], chunks[3]});
    for (const std::string& pack : {first_pack(dir.path()), second_pack}) flip_byte(pack, record_at(1) + 4);
    delete_index(dir.path());
    if (by_person) {
      EXPECT_EQ(PackStore::rebuild_index(os::real_disk(), dir.path())->damage.size(), 2u);
    }
    for (const std::size_t later : {4, 5}) {
      const auto store = open_store(dir.path());
      for (const std::size_t i : {0, 2}) EXPECT_TRUE(is_whole(*store, chunks[i]));
      for (const std::size_t i : {1, 3}) EXPECT_TRUE(is_absent(*store, chunks[i]));
      append_all(*store, {chunks[later]});
      EXPECT_EQ(store->check(true)->damage.size(), 2u);
      EXPECT_EQ(file_bytes(first_pack(dir.path())).size(), record_at(2));
      EXPECT_EQ(file_bytes(second_pack).size(), record_at(2));
    }

    for (const std::string& pack : {first_pack(dir.path()), second_pack}) flip_byte(pack, record_at(1) + 4);
    EXPECT_EQ(PackStore::rebuild_index(os::real_disk(), dir.path())->chunks, 6u);
    const auto store = open_store(dir.path());
    for (const Chunk& chunk : chunks) EXPECT_TRUE(is_whole(*store, chunk));
    EXPECT_TRUE(store->check(true)->damage.empty());
  }
}

TEST(PackRecovery, CutsATornTailOffAPackThatNothingWasSyncedIn) {
  const TempDir dir(testing::in_memory());
  append_and_die(dir.path(), {random_chunk(1)});
  ASSERT_TRUE(os::real_disk().open(first_pack(dir.path()), os::Open::write).value()->truncate(record_at(1) - 1));
  const auto store = open_store(dir.path());
  EXPECT_EQ(file_bytes(first_pack(dir.path())).size(), record_at(0));
  EXPECT_TRUE(store->check(true)->damage.empty());
}

// Claim: after a failed fsync, what open() finds and names is on stable storage.
//
// Method: a disk as Linux makes one of it: a failed fsync leaves its pages clean, so that they are in the page cache,
// and only what is written again reaches the disk with the next fsync.
TEST(PackRecovery, WritesAgainWhatAFailedFsyncLeftInThePageCache) {
  for (const bool lose_index : {false, true}) {
    SCOPED_TRACE(lose_index);
    const TempDir dir(testing::in_memory());
    HookedDisk disk;
    bool fails = false;
    std::set<std::uint64_t> dirty;
    std::set<std::uint64_t> on_disk;
    disk.before_write = [&](std::uint64_t at, std::size_t bytes) -> Result<void> {
      for (std::size_t i = 0; i < bytes; ++i) dirty.insert(at + i);
      return {};
    };
    disk.before_sync = [&]() -> Result<void> {
      if (!fails) on_disk.insert(dirty.begin(), dirty.end());
      dirty.clear();
      return fails ? Result<void>(os_error(EIO, "fsync")) : Result<void>();
    };
    const std::vector<Chunk> chunks = random_chunks(4);
    auto store = open_store(dir.path(), disk);
    append_all(*store, {chunks[0]});
    if (!lose_index) {
      ASSERT_TRUE(store->sync());
    }
    append_all(*store, {chunks[1], chunks[2], chunks[3]});
    ASSERT_TRUE(store->remove(chunks[2].id));
    fails = true;
    ASSERT_FALSE(store->sync());
    store.reset();
    fails = false;
    if (lose_index) delete_index(dir.path());

    store = open_store(dir.path(), disk);
    for (const std::size_t i : {0, 1, 3}) EXPECT_TRUE(is_whole(*store, chunks[i]));
    for (std::uint64_t at = 0; at < record_at(4); ++at) EXPECT_TRUE(on_disk.contains(at)) << at;
  }
}

TEST(PackRecovery, FindsUnsyncedChunksAfterAKill) {
  const TempDir dir(testing::in_memory());
  const std::vector<Chunk> chunks = random_chunks(6);
  append_and_close(dir.path(), {chunks[0], chunks[1]});
  append_and_die(dir.path(), {chunks[2], chunks[3]});
  append_and_die(dir.path(), {chunks[4], chunks[5]});
  const auto store = open_store(dir.path());
  for (const Chunk& chunk : chunks) EXPECT_TRUE(is_whole(*store, chunk));
  EXPECT_EQ(store->chunk_count(), 6u);
  EXPECT_TRUE(store->check(true)->damage.empty());
}

// After a power cut the length of a file may be there, and its content not.
// Claim: a sector that the disk cannot read, in a payload or in a record's header, keeps nobody from the other chunks,
// and nothing is cut off for it.
TEST(PackRecovery, OpensThoughTheDiskCannotReadSomeOfIt) {
  for (const bool in_header : {false, true}) {
    for (const bool is_last : {false, true}) {
      SCOPED_TRACE(::testing::Message() << "header " << in_header << ", last " << is_last);
      const TempDir dir(testing::in_memory());
      const Chunk first = random_chunk(1);
      const Chunk bad = random_chunk(2, 20'000);
      const Chunk behind = random_chunk(3);
      {
        FaultyDisk disk;
        const auto store = open_store(dir.path(), disk);
        append_all(*store, {first});
        ASSERT_TRUE(store->sync());
        append_all(*store, {bad});
        if (!is_last) append_all(*store, {behind});
        disk.fail_from_call(1, EIO);  // Killed.
      }
      const std::uint64_t header_at = kPackHeaderBytes + kRecordHeaderBytes + first.bytes.size();
      const std::uint64_t bad_at = in_header ? header_at + 40 : header_at + 10'000;
      const Bytes pack = file_bytes(first_pack(dir.path()));
      HookedDisk disk;
      disk.before_read = [&](std::uint64_t at, std::size_t bytes) -> Result<void> {
        return at <= bad_at && at + bytes > bad_at ? Result<void>(os_error(EIO, "read")) : Result<void>();
      };
      const auto store = open_store(dir.path(), disk);
      ASSERT_TRUE(store);
      EXPECT_TRUE(is_whole(*store, first));
      EXPECT_TRUE(is_absent(*store, bad));
      EXPECT_EQ(is_whole(*store, behind), !is_last);
      if (!in_header) {
        EXPECT_EQ(*store->examine(bad.id), Soundness::damaged);
      }
      EXPECT_EQ(file_bytes(first_pack(dir.path())), pack);
      disk.before_read = [](std::uint64_t, std::size_t) { return Result<void>(); };  // It may lie in another pack now.
      append_all(*store, {bad});
      ASSERT_TRUE(store->sync());
      EXPECT_TRUE(is_whole(*store, bad));
    }
  }
}

TEST(PackRecovery, DropsWhatWasNotWrittenWholeBehindTheScannedPart) {
  const TempDir dir(testing::in_memory());
  const std::vector<Chunk> chunks = random_chunks(5);
  append_and_close(dir.path(), {chunks[0]});
  append_and_die(dir.path(), {chunks[1], chunks[2], chunks[3], chunks[4]});
  flip_byte(first_pack(dir.path()), record_at(2) + kRecordHeaderBytes + 5);  // A payload.
  flip_byte(first_pack(dir.path()), record_at(4) + 10);                      // The last header.
  const auto store = open_store(dir.path());
  EXPECT_TRUE(is_whole(*store, chunks[0]));
  EXPECT_TRUE(is_whole(*store, chunks[1]));
  EXPECT_TRUE(is_absent(*store, chunks[2]));
  EXPECT_TRUE(is_whole(*store, chunks[3]));
  EXPECT_TRUE(is_absent(*store, chunks[4]));
  EXPECT_TRUE(store->check(true)->bad.empty());
}

TEST(PackRecovery, MakesALostIndexAnew) {
  const TempDir dir(testing::in_memory());
  const std::vector<Chunk> chunks = random_chunks(10);
  const PackOptions small{.pack_bytes_max = 1000};
  append_all(*open_store(dir.path(), os::real_disk(), small), chunks);
  delete_index(dir.path());
  const auto store = open_store(dir.path(), os::real_disk(), small);
  for (const Chunk& chunk : chunks) EXPECT_TRUE(is_whole(*store, chunk));
  EXPECT_EQ(store->chunk_count(), 10u);
}

TEST(PackRecovery, MakesADamagedIndexAnew) {
  const TempDir dir(testing::in_memory());
  const std::vector<Chunk> chunks = random_chunks(10);
  append_and_close(dir.path(), chunks);
  std::ofstream(dir / "index.db", std::ios::in | std::ios::binary) << std::string(3000, 'x');
  const auto store = open_store(dir.path());
  for (const Chunk& chunk : chunks) EXPECT_TRUE(is_whole(*store, chunk));
}

// Claim: wherever in the index a bit is flipped, the store opens by itself, and has all its chunks.
TEST(PackRecovery, MakesAnIndexAnewWhicheverPageOfItIsDamaged) {
  constexpr std::uint64_t kPageBytes = 4096;
  const TempDir dir(testing::in_memory());
  const std::vector<Chunk> chunks = random_chunks(300);
  append_and_close(dir.path(), chunks);
  const Bytes index = file_bytes(dir / "index.db");
  ASSERT_GT(index.size() / kPageBytes, 6u) << "fewer pages than tables";
  for (std::uint64_t at = 500; at < index.size(); at += kPageBytes) {
    SCOPED_TRACE(::testing::Message() << "byte " << at);
    delete_index(dir.path());
    write_file(dir / "index.db", index);
    flip_byte(dir / "index.db", at);
    const auto store = open_store(dir.path());
    for (const Chunk& chunk : chunks) ASSERT_TRUE(is_whole(*store, chunk));
  }
}

// A power cut may take the last transactions of the index, although the packs were synced.
TEST(PackRecovery, CatchesUpWhereTheIndexIsOlderThanThePacks) {
  const TempDir dir(testing::in_memory());
  const std::vector<Chunk> chunks = random_chunks(9);
  const PackOptions small{.pack_bytes_max = 1000};
  append_all(*open_store(dir.path(), os::real_disk(), small), {chunks[0], chunks[1], chunks[2]});
  const Bytes old_index = file_bytes(dir / "index.db");
  append_all(*open_store(dir.path(), os::real_disk(), small), chunks);
  delete_index(dir.path());
  write_file(dir / "index.db", old_index);
  const auto store = open_store(dir.path(), os::real_disk(), small);
  for (const Chunk& chunk : chunks) EXPECT_TRUE(is_whole(*store, chunk));
  EXPECT_TRUE(store->check(true)->damage.empty());
}

TEST(PackRecovery, KeepsWhatLiesBehindDamageInTheMiddle) {
  const TempDir dir(testing::in_memory());
  const std::vector<Chunk> chunks = random_chunks(4);
  append_and_close(dir.path(), chunks);
  flip_byte(first_pack(dir.path()), record_at(1) + 4);
  delete_index(dir.path());
  const auto store = open_store(dir.path());
  EXPECT_TRUE(is_whole(*store, chunks[0]));
  EXPECT_TRUE(is_absent(*store, chunks[1]));
  EXPECT_TRUE(is_whole(*store, chunks[2]));
  EXPECT_TRUE(is_whole(*store, chunks[3]));
  EXPECT_EQ(file_bytes(first_pack(dir.path())).size(), record_at(4));
  EXPECT_EQ(store->check(false)->damage.size(), 1u);
}

// Claim: a client cannot bring a chunk under a wrong name into a store by hiding headers in a payload.
TEST(PackRecovery, BelievesNoHeaderWithinAPayload) {
  const TempDir dir(testing::in_memory());
  const Chunk honest = random_chunk(1);
  Bytes forged = copy_of(encode_record_header(honest.id, 20));
  append(forged, testing::SeededRandom(2).bytes(100));
  const Chunk carrier = chunk_of(forged);
  append_and_die(dir.path(), {carrier});
  flip_byte(first_pack(dir.path()), kPackHeaderBytes + 4);
  EXPECT_EQ(PackStore::rebuild_index(os::real_disk(), dir.path())->chunks, 0u);
  const auto store = open_store(dir.path());
  EXPECT_TRUE(is_absent(*store, honest));
  EXPECT_TRUE(is_absent(*store, carrier));
  EXPECT_EQ(store->chunk_count(), 0u);
}

TEST(PackRecovery, MendsTheHeaderOfAPackThatWasJustMade) {
  const TempDir dir(testing::in_memory());
  write_file(first_pack(dir.path()), {});
  const Chunk chunk = random_chunk(1);
  append_and_close(dir.path(), {chunk});
  EXPECT_EQ(file_bytes(first_pack(dir.path())).size(), record_at(1));
  const auto store = open_store(dir.path());
  EXPECT_TRUE(is_whole(*store, chunk));
  EXPECT_TRUE(store->check(true)->damage.empty());
}

TEST(PackRecovery, ForgetsAPackThatIsGoneAndSaysSo) {
  const TempDir dir(testing::in_memory());
  const std::vector<Chunk> chunks = random_chunks(4);
  const PackOptions small{.pack_bytes_max = 1000};
  append_all(*open_store(dir.path(), os::real_disk(), small), chunks);
  ASSERT_TRUE(os::real_disk().remove(first_pack(dir.path())));
  const auto store = open_store(dir.path(), os::real_disk(), small);
  EXPECT_TRUE(is_absent(*store, chunks[0]));
  EXPECT_TRUE(is_whole(*store, chunks[3]));
  EXPECT_EQ(store->chunk_count(), 2u);
}

TEST(PackRecovery, TakesAPackThatBecameShorterAsItIs) {
  const TempDir dir(testing::in_memory());
  const std::vector<Chunk> chunks = random_chunks(4);
  append_and_close(dir.path(), chunks);
  const Bytes whole = file_bytes(first_pack(dir.path()));
  write_file(first_pack(dir.path()), ByteView(whole).first(record_at(2) + 100));
  const auto store = open_store(dir.path());
  EXPECT_TRUE(is_whole(*store, chunks[1]));
  EXPECT_TRUE(is_absent(*store, chunks[2]));
  EXPECT_EQ(store->chunk_count(), 2u);
}

TEST(PackCheck, NamesTheChunkWithAFlippedByte) {
  const TempDir dir(testing::in_memory());
  const std::vector<Chunk> chunks = random_chunks(5);
  append_and_close(dir.path(), chunks);
  flip_byte(first_pack(dir.path()), record_at(2) + kRecordHeaderBytes + 299);
  const auto store = open_store(dir.path());
  EXPECT_TRUE(store->check(false)->bad.empty());
  const ScanReport report = store->check(true).value();
  EXPECT_EQ(report.bad, (std::vector<object::ChunkId>{chunks[2].id}));
  EXPECT_TRUE(report.damage.empty());
  EXPECT_EQ(report.chunks, 5u);
  EXPECT_EQ(report.bytes, 1500u);
  EXPECT_EQ(store->read(chunks[2].id).error().fault, Fault::corrupt);
  EXPECT_TRUE(is_whole(*store, chunks[3]));
}

TEST(PackCheck, NamesTheChunkWhoseRecordCannotBeRead) {
  const TempDir dir(testing::in_memory());
  const std::vector<Chunk> chunks = random_chunks(5);
  append_and_close(dir.path(), chunks);
  flip_byte(first_pack(dir.path()), record_at(2) + 12);
  const auto store = open_store(dir.path());
  const ScanReport report = store->check(true).value();
  EXPECT_EQ(report.bad, (std::vector<object::ChunkId>{chunks[2].id}));
  EXPECT_EQ(report.damage.size(), 2u);  // Bytes that are no record, and what should be there.
  EXPECT_EQ(report.chunks, 4u);
}

TEST(PackCheck, NamesTheChunksOfAPackThatVanishes) {
  const TempDir dir(testing::in_memory());
  const std::vector<Chunk> chunks = random_chunks(25);
  const PackOptions small{.pack_bytes_max = 1000};
  append_all(*open_store(dir.path(), os::real_disk(), small), chunks);
  const auto store = open_store(dir.path(), os::real_disk(), small);
  ASSERT_TRUE(os::real_disk().remove(first_pack(dir.path())));
  EXPECT_EQ(store->check(false)->bad.size(), 2u);
}

TEST(PackCheck, NamesAChunkThatTheIndexLacks) {
  const TempDir dir(testing::in_memory());
  const std::vector<Chunk> chunks = random_chunks(2);
  append_and_close(dir.path(), chunks);
  {
    auto db = db::Database::open(dir / "index.db", {});
    ASSERT_TRUE(db->execute("DELETE FROM chunks WHERE offset = 32"));
  }
  const auto store = open_store(dir.path());
  EXPECT_EQ(store->check(false)->damage.size(), 1u);
  EXPECT_TRUE(is_absent(*store, chunks[0]));
}

TEST(PackRebuild, IndexesEveryRecordWithAGoodHeader) {
  const TempDir dir(testing::in_memory());
  const std::vector<Chunk> chunks = random_chunks(5);
  append_and_close(dir.path(), chunks);
  flip_byte(first_pack(dir.path()), record_at(4) + kRecordHeaderBytes);
  const ScanReport rebuilt = PackStore::rebuild_index(os::real_disk(), dir.path()).value();
  EXPECT_EQ(rebuilt.chunks, 5u);
  EXPECT_EQ(rebuilt.bytes, 1500u);
  EXPECT_TRUE(rebuilt.damage.empty());
  const auto store = open_store(dir.path());
  EXPECT_EQ(store->check(true)->bad, (std::vector<object::ChunkId>{chunks[4].id}));
}

// The bytes were made by tests/vectors/pack/make.py, which shares no code with this.
TEST(PackFormat, IsAsTheGoldenPackHasIt) {
  const Bytes golden = file_bytes(std::string(COFFER_VECTORS) + "/pack/three_records.pack");
  const std::vector<Chunk> chunks = {chunk_of(as_bytes("first")), chunk_of(as_bytes("the second, removed")),
                                     chunk_of({})};
  {
    const TempDir dir(testing::in_memory());
    write_file(first_pack(dir.path()), golden);
    const auto store = open_store(dir.path());
    EXPECT_TRUE(is_whole(*store, chunks[0]));
    EXPECT_TRUE(is_absent(*store, chunks[1]));
    EXPECT_TRUE(is_whole(*store, chunks[2]));
    EXPECT_TRUE(store->check(true)->damage.empty());
  }
  const TempDir dir(testing::in_memory());
  auto store = open_store(dir.path());
  append_all(*store, chunks);
  ASSERT_TRUE(store->remove(chunks[1].id));
  store.reset();
  EXPECT_EQ(base::to_hex(file_bytes(first_pack(dir.path()))), base::to_hex(golden));
}

TEST(PackFormat, RefusesAHeaderWithAnyBitFlippedOutsideItsState) {
  const auto header = encode_record_header(random_chunk(1).id, 77);
  for (std::size_t bit = 0; bit < header.size() * 8; ++bit) {
    auto bent = header;
    bent[bit / 8] ^= std::byte{1} << (bit % 8);
    const auto decoded = decode_record_header(bent);
    EXPECT_EQ(decoded.has_value(), bit / 8 == kStateAt) << bit;
    EXPECT_FALSE(decoded && decoded->removed) << bit;
  }
  for (std::size_t size = 0; size < header.size(); ++size) {
    EXPECT_FALSE(decode_record_header(ByteView(header).first(size)));
    EXPECT_FALSE(decode_pack_header(ByteView(encode_pack_header(7)).first(std::min<std::size_t>(size, 31))));
  }
  EXPECT_EQ(decode_pack_header(encode_pack_header(7)), 7u);
}

// Claim: a process that is killed at any moment leaves a store that opens by itself, with every chunk whole that it
// had synced and not removed.
//
// Method: a child appends and syncs in a loop and tells over a pipe what it has synced, until it is killed.
TEST(PackRecovery, OpensByItselfAfterKillNine) {
  const TempDir dir(testing::in_memory());
  constexpr std::size_t kCount = 400;
  int ends[2];
  ASSERT_EQ(pipe(ends), 0);
  const pid_t child = fork();
  if (child == 0) {
    const auto store = open_store(dir.path(), os::real_disk(), {.pack_bytes_max = 100'000});
    for (std::size_t i = 0; i < kCount; ++i) {
      const Chunk chunk = random_chunk(i, 5000);
      if (!store->append(chunk.id, chunk.bytes) || (i % 3 == 2 && !store->sync())) _exit(1);
      const std::uint32_t done = static_cast<std::uint32_t>(i + 1 - (i + 1) % 3);
      if (i % 3 == 2 && write(ends[1], &done, sizeof(done)) != sizeof(done)) _exit(1);
    }
    pause();
  }
  close(ends[1]);
  std::uint32_t synced = 0;
  while (synced < 60) ASSERT_EQ(read(ends[0], &synced, sizeof(synced)), static_cast<ssize_t>(sizeof(synced)));
  kill(child, SIGKILL);
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  while (read(ends[0], &synced, sizeof(synced)) > 0) {
  }
  close(ends[0]);

  const auto store = open_store(dir.path());
  for (std::size_t i = 0; i < synced; ++i) EXPECT_TRUE(is_whole(*store, random_chunk(i, 5000))) << i;
  EXPECT_TRUE(store->check(true)->damage.empty());
  EXPECT_TRUE(store->check(true)->bad.empty());
}

}  // namespace
}  // namespace coffer::pack
