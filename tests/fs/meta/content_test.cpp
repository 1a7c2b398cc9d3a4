#include "tests/fs/meta/invariants.h"

namespace coffer::meta {
namespace {

Extent extent(std::uint64_t at, std::uint32_t bytes, ChunkKey chunk, std::uint32_t offset) {
  return {FileOffset(at), bytes, chunk, offset, std::nullopt};
}

class TreeContent : public ::testing::Test {
 protected:
  TreeWorld world_;
  InodeId inode_ = world_.file("f");
};

TEST_F(TreeContent, IsFoundWhereItWasRecorded) {
  const ChunkKey chunk = world_.spooled_chunk(1000);
  EXPECT_TRUE(world_->record(inode_, {.extents = {extent(0, 100, chunk, 5), extent(200, 50, chunk, 300)}}));
  EXPECT_EQ(world_.extents(inode_), (std::vector{extent(0, 100, chunk, 5), extent(200, 50, chunk, 300)}));
  EXPECT_EQ(world_.stat("f").bytes, 250u);
  EXPECT_EQ(world_.stat("f").allocated_bytes, 150u);
}

TEST_F(TreeContent, ThatOverlapsARangeIsGivenWhole) {
  const ChunkKey chunk = world_.spooled_chunk(1000);
  EXPECT_TRUE(world_->record(
      inode_, {.extents = {extent(0, 100, chunk, 0), extent(100, 100, chunk, 100), extent(300, 100, chunk, 300)}}));
  const auto found = [&](std::uint64_t begin, std::uint64_t end) {
    return world_->extents(inode_, FileOffset(begin), FileOffset(end))->size();
  };
  EXPECT_EQ(found(0, 1), 1u);
  EXPECT_EQ(found(99, 101), 2u);
  EXPECT_EQ(found(200, 300), 0u);
  EXPECT_EQ(found(199, 301), 2u);
  EXPECT_EQ(found(50, 50), 0u);
  EXPECT_EQ(found(399, ~std::uint64_t{0}), 1u);
  EXPECT_EQ(found(400, ~std::uint64_t{0}), 0u);
  EXPECT_EQ(found(~std::uint64_t{0} - 1, ~std::uint64_t{0}), 0u);
}

TEST_F(TreeContent, InTheMiddleIsReplacedAndTheRestStays) {
  const ChunkKey old_chunk = world_.write(inode_, 0, 300);
  const ChunkKey new_chunk = world_.spooled_chunk(50);
  EXPECT_TRUE(world_.record(inode_, 100, 50, new_chunk, 0));
  EXPECT_EQ(world_.extents(inode_), (std::vector{extent(0, 100, old_chunk, 0), extent(100, 50, new_chunk, 0),
                                                 extent(150, 150, old_chunk, 150)}));
  EXPECT_EQ(world_.stat("f").allocated_bytes, 300u);
  expect_invariants(world_);
}

TEST_F(TreeContent, OfAReplacedRangeBecomesAHole) {
  const ChunkKey chunk = world_.write(inode_, 0, 300);
  EXPECT_TRUE(world_->record(inode_, {.replaced = {{250, 400}, {0, 10}, {5, 20}}}));
  EXPECT_EQ(world_.extents(inode_), std::vector{extent(20, 230, chunk, 20)});
  EXPECT_EQ(world_.stat("f").bytes, 300u) << "record() never shortens";
  EXPECT_EQ(world_.stat("f").allocated_bytes, 230u);
}

TEST_F(TreeContent, GrowsAndShrinksByTruncation) {
  const ChunkKey chunk = world_.write(inode_, 0, 300);
  EXPECT_EQ(world_->change(inode_, {.bytes = 1000})->bytes, 1000u);
  EXPECT_EQ(world_.stat("f").allocated_bytes, 300u);
  const Attributes shorter = *world_->change(inode_, {.bytes = 120});
  EXPECT_EQ(shorter.bytes, 120u);
  EXPECT_EQ(shorter.allocated_bytes, 120u);
  EXPECT_EQ(shorter.mtime_ns, shorter.ctime_ns);
  EXPECT_EQ(world_.extents(inode_), std::vector{extent(0, 120, chunk, 0)});
  EXPECT_EQ(world_->change(inode_, {.bytes = 0, .mtime_ns = 9})->mtime_ns, 9);
  EXPECT_EQ(world_.dropped().take(), std::vector{chunk});
}

TEST_F(TreeContent, SetsTimesOnlyWhereItIsTold) {
  const Attributes before = world_.stat("f");
  world_.write(inode_, 0, 10);
  EXPECT_EQ(world_.stat("f").mtime_ns, before.mtime_ns);
  EXPECT_EQ(world_.stat("f").ctime_ns, before.ctime_ns);
  EXPECT_TRUE(world_->record(inode_, {.bytes = 500, .mtime_ns = 42}));
  EXPECT_EQ(world_.stat("f").mtime_ns, 42);
  EXPECT_GT(world_.stat("f").ctime_ns, before.ctime_ns);
  EXPECT_EQ(world_.stat("f").bytes, 500u);
}

TEST_F(TreeContent, IsRefusedWhereItFitsNothing) {
  const ChunkKey chunk = world_.spooled_chunk(100);
  EXPECT_EQ(errno_of(world_.record(world_.folder("d"), 0, 10, chunk, 0)), EINVAL);
  EXPECT_EQ(errno_of(world_.record(InodeId(99), 0, 10, chunk, 0)), ENOENT);
  EXPECT_EQ(errno_of(world_.record(inode_, 0, 10, chunk, 95)), EINVAL) << "behind the end of its chunk";
  EXPECT_EQ(errno_of(world_.record(inode_, 0, 10, ChunkKey(99), 0)), ESTALE);
  EXPECT_EQ(errno_of(world_->record(inode_, {.extents = {extent(0, 0, chunk, 0)}})), EINVAL);
  EXPECT_EQ(errno_of(world_->record(inode_, {.extents = {extent(5, 10, chunk, 0), extent(0, 5, chunk, 0)}})), EINVAL);
  EXPECT_EQ(errno_of(world_.record(inode_, std::uint64_t{1} << 63, 10, chunk, 0)), EFBIG);
  EXPECT_TRUE(world_.extents(inode_).empty());
  EXPECT_EQ(world_.stat("f").bytes, 0u);
  expect_invariants(world_);
}

TEST_F(TreeContent, OfAHundredThousandExtentsIsOverwrittenAsFastAsOfFew) {
  constexpr std::uint32_t kExtents = 100'000;
  const ChunkKey chunk = world_.spooled_chunk(4096);
  Content content;
  for (std::uint32_t n = 0; n < kExtents; ++n) content.extents.push_back(extent(n * 8192ull, 4096, chunk, 0));
  ASSERT_TRUE(world_->record(inode_, content));
  const ChunkKey other = world_.spooled_chunk(4096);
  const auto overwrite = [&](std::uint64_t times) {
    const auto begin = std::chrono::steady_clock::now();
    for (std::uint64_t n = 0; n < times; ++n) {
      EXPECT_TRUE(world_.record(inode_, (n * 7919 % kExtents) * 8192 + 1000, 1000, other, 0));
    }
    return std::chrono::steady_clock::now() - begin;
  };
  // Linear cost would be a thousand times that of a small file: a minute.
  EXPECT_LT(overwrite(1000), std::chrono::seconds(3));
}

// ---- pieces and keeps -----------------------------------------------------------------------------------------------

TEST(TreePieces, AreFoundOnceRecordedAndWhileTheirChunkLives) {
  TreeWorld world;
  const InodeId inode = world.file("f");
  const PieceId piece = id_of<PieceId>(1);
  EXPECT_FALSE(*world->find_piece(piece));
  const ChunkKey chunk = world.spooled_chunk(100);
  EXPECT_TRUE(world.record(inode, 0, 60, chunk, 40, piece));
  const std::optional<PieceAt> found = *world->find_piece(piece);
  ASSERT_TRUE(found);
  EXPECT_EQ(*found, (PieceAt{chunk, 40, 60}));
  world->let_go(*found);
  EXPECT_EQ(world.unlink("f"), 0);
  EXPECT_FALSE(*world->find_piece(piece));
  EXPECT_EQ(world.dropped().take(), std::vector{chunk});
}

TEST(TreePieces, StayWhileTheyAreKept) {
  TreeWorld world;
  const PieceId piece = id_of<PieceId>(1);
  const ChunkKey chunk = world.spooled_chunk(100);
  EXPECT_TRUE(world.record(world.file("f"), 0, 60, chunk, 40, piece));
  const PieceAt found = **world->find_piece(piece);
  EXPECT_EQ(world.unlink("f"), 0);
  EXPECT_TRUE(world.dropped().take().empty());
  EXPECT_TRUE(world.record(world.file("g"), 0, found.bytes, found.chunk, found.chunk_offset, piece));
  EXPECT_EQ(world.unlink("g"), 0);
  EXPECT_EQ(world.dropped().take(), std::vector{chunk}) << "record() has used the keep up";
}

TEST(TreePieces, OfAChunkLetGoGoWithIt) {
  TreeWorld world;
  const ChunkKey chunk = world.spooled_chunk(100);
  EXPECT_TRUE(world->owed_chunks(10, nullptr)->empty()) << "nothing needs it yet";
  world->let_go(chunk);
  EXPECT_EQ(world.dropped().take(), std::vector{chunk});
  EXPECT_EQ(errno_of(world->chunk(chunk)), ENOENT);
}

// Claim: content that is written again to mend a damaged file does not end in the damaged chunk again.
TEST(TreePieces, OfALostChunkAreNotFoundUntilTheyAreWrittenAgain) {
  TreeWorld world;
  const PieceId piece = id_of<PieceId>(1);
  const PieceId other = id_of<PieceId>(2);
  const ChunkKey lost = world.spooled_chunk(100);
  const ChunkKey good = world.spooled_chunk(100);
  EXPECT_TRUE(world.record(world.file("f"), 0, 60, lost, 40, piece));
  EXPECT_TRUE(world.record(world.file("g"), 0, 100, good, 0, other));
  EXPECT_TRUE(world->forget_pieces(std::vector{lost, ChunkKey(999)}));
  EXPECT_FALSE(*world->find_piece(piece));
  EXPECT_TRUE(*world->find_piece(other));
  EXPECT_EQ(world.extents(world.inode("f")).size(), 1u) << "the file still says what it lost";

  const ChunkKey again = world.spooled_chunk(60);
  EXPECT_TRUE(world.record(world.inode("f"), 0, 60, again, 0, piece));
  EXPECT_EQ(*world->find_piece(piece), (PieceAt{again, 0, 60}));
  expect_invariants(world);
}

TEST(TreePieces, OfAReleasedChunkAreUsedAgainUntilTheReleaseIsDrafted) {
  TreeWorld world;
  const PieceId piece = id_of<PieceId>(1);
  const ChunkKey chunk = world.spooled_chunk(100);
  EXPECT_TRUE(world.record(world.file("f"), 0, 60, chunk, 40, piece));
  world.store(chunk);
  world.commit_all();
  EXPECT_EQ(world.unlink("f"), 0);

  const std::optional<PieceAt> found = *world->find_piece(piece);
  ASSERT_TRUE(found) << "its chunk is still in the vault";
  Draft draft;
  Bytes commit = world.draft(&draft);
  EXPECT_TRUE(draft.released.empty()) << "a kept chunk is not released";
  world.done(commit);
  world->let_go(*found);

  commit = world.draft(&draft);
  EXPECT_EQ(draft.released, std::vector{world.id(chunk)});
  EXPECT_FALSE(*world->find_piece(piece)) << "the server may give its space back";
  EXPECT_EQ(errno_of(world.record(world.file("g"), 0, 60, chunk, 40)), ESTALE);
  world.done(commit);
  EXPECT_EQ(world.dropped().take(), std::vector{chunk});
}

// ---- open chunks ----------------------------------------------------------------------------------------------------

TEST(OpenChunks, TellWhichBytesAreLiveAndForgetPiecesThatAreNot) {
  TreeWorld world;
  const ChunkKey open = *world->add_open_chunk();
  EXPECT_TRUE(world.record(world.file("a"), 0, 100, open, 0, id_of<PieceId>(1)));
  EXPECT_TRUE(world.record(world.file("b"), 0, 100, open, 100, id_of<PieceId>(2)));
  EXPECT_TRUE(world.record(world.file("c"), 0, 100, open, 200, id_of<PieceId>(3)));
  EXPECT_TRUE(world.record(world.file("d"), 0, 100, open, 300, id_of<PieceId>(4)));
  const PieceAt kept = **world->find_piece(id_of<PieceId>(2));
  EXPECT_EQ(world.unlink("b"), 0);
  EXPECT_EQ(world.unlink("c"), 0);
  EXPECT_TRUE(world->change(world.inode("d"), {.bytes = 40}));

  EXPECT_EQ(*world->live_ranges(open), (std::vector<Range>{{0, 200}, {300, 340}}));
  EXPECT_TRUE(*world->find_piece(id_of<PieceId>(1)));
  EXPECT_TRUE(*world->find_piece(id_of<PieceId>(2))) << "kept, so its bytes stay";
  EXPECT_FALSE(*world->find_piece(id_of<PieceId>(3))) << "its bytes may be zeros now";
  EXPECT_FALSE(*world->find_piece(id_of<PieceId>(4))) << "the end of its bytes may be zeros now";
  EXPECT_TRUE(world.record(world.file("e"), 0, kept.bytes, kept.chunk, kept.chunk_offset));
}

TEST(OpenChunks, CountAppendedBytesThatAreNotRecordedAsLive) {
  TreeWorld world;
  const ChunkKey open = *world->add_open_chunk();
  world->keep(PieceAt{open, 10, 20});
  EXPECT_EQ(*world->live_ranges(open), (std::vector<Range>{{10, 30}}));
  world->let_go(PieceAt{open, 10, 20});
  EXPECT_TRUE(world->live_ranges(open)->empty());
  EXPECT_TRUE(world->chunk(open)) << "more may be batched into it";
  world->let_go(open);
  EXPECT_EQ(world.dropped().take(), std::vector{open});
}

TEST(OpenChunks, BecomeOwedWhenTheyAreSealed) {
  TreeWorld world;
  const InodeId inode = world.file("f");
  const ChunkKey open = *world->add_open_chunk();
  EXPECT_TRUE(world.record(inode, 0, 100, open, 0));
  EXPECT_TRUE(world->owed_chunks(10, nullptr)->empty());
  EXPECT_EQ(world->open_chunks()->size(), 1u);
  EXPECT_EQ(world.owed().chunks, 1u);
  EXPECT_EQ(errno_of(world->chunk_sealed(open, world.chunk_id(1), 90, 99)), EINVAL) << "an extent reaches out of it";
  EXPECT_TRUE(world->chunk_sealed(open, world.chunk_id(1), 190, 100));
  EXPECT_TRUE(world->open_chunks()->empty());
  const std::vector<ChunkRow> owed = *world->owed_chunks(10, nullptr);
  ASSERT_EQ(owed.size(), 1u);
  EXPECT_EQ(owed[0].id, world.chunk_id(1));
  EXPECT_EQ(owed[0].state, ChunkState::spooled);
  EXPECT_EQ(world->totals()->sealed_bytes, 190u);
  EXPECT_EQ(errno_of(world->chunk_sealed(open, world.chunk_id(2), 190, 100)), EINVAL);
}

TEST(OpenChunks, AllOfWhichIsDeadAreDroppedWhenSealed) {
  TreeWorld world;
  const ChunkKey open = *world->add_open_chunk();
  EXPECT_TRUE(world.record(world.file("f"), 0, 100, open, 0));
  EXPECT_EQ(world.unlink("f"), 0);
  EXPECT_TRUE(world.dropped().take().empty());
  EXPECT_TRUE(world->chunk_sealed(open, world.chunk_id(1), 190, 100));
  EXPECT_EQ(world.dropped().take(), std::vector{open});
}

TEST(OpenChunks, AreThereAfterARestartWhereFilesUseThem) {
  TreeWorld world;
  const ChunkKey used = *world->add_open_chunk();
  const ChunkKey unused = *world->add_open_chunk();
  const ChunkKey unrecorded = world.spooled_chunk();
  EXPECT_TRUE(world.record(world.file("f"), 0, 100, used, 0));
  world.kill_and_open();
  ASSERT_EQ(world->open_chunks()->size(), 1u);
  EXPECT_EQ(world->open_chunks()->front().key, used);
  EXPECT_EQ(world.dropped().take(), (std::vector{unused, unrecorded}));
  EXPECT_EQ(world.unlink("f"), 0);
  EXPECT_TRUE(world->chunk(used)) << "open chunks are kept again";
}

// ---- which chunk goes first -----------------------------------------------------------------------------------------

class OwedChunks : public ::testing::Test {
 protected:
  ChunkKey add(Priority priority) {
    const std::uint64_t number = ++count_;
    const ChunkKey key = *world_->add_spooled_chunk(world_.chunk_id(number), 110, 100, priority);
    const InodeId inode = world_.file("f" + std::to_string(number));
    EXPECT_TRUE(world_.record(inode, 0, 100, key, 0));
    return key;
  }
  std::vector<ChunkKey> order(std::size_t count_max = 100, const std::function<bool(ChunkKey)>& skip = nullptr) {
    const std::vector<ChunkRow> rows = *world_->owed_chunks(count_max, skip);
    std::vector<ChunkKey> keys;
    for (const ChunkRow& row : rows) keys.push_back(row.key);
    return keys;
  }
  TreeWorld world_;
  std::uint64_t count_ = 0;
};

TEST_F(OwedChunks, GoByUrgencyThenByAge) {
  const ChunkKey bulk = add(Priority::bulk);
  const ChunkKey normal = add(Priority::normal);
  const ChunkKey later = add(Priority::normal);
  const ChunkKey small = add(Priority::small);
  EXPECT_EQ(order(), (std::vector{small, normal, later, bulk}));
  EXPECT_EQ(order(2), (std::vector{small, normal}));
  EXPECT_EQ(order(2, [&](ChunkKey key) { return key == small; }), (std::vector{normal, later}));
}

TEST_F(OwedChunks, GoFirstWhenSomeoneWaitsForThem) {
  const ChunkKey small = add(Priority::small);
  const ChunkKey bulk = add(Priority::bulk);
  EXPECT_TRUE(world_->raise(world_.inode("f2")));
  EXPECT_EQ(order(), (std::vector{bulk, small}));
}

TEST_F(OwedChunks, GoFirstWhenSomeoneWaitsForTheirFolderOrForAFileThatIsCommittedWithTheirs) {
  const ChunkKey small = add(Priority::small);
  const ChunkKey bulk = add(Priority::bulk);
  EXPECT_TRUE(world_->raise(kRootInode));
  EXPECT_EQ(order(), (std::vector{small, bulk}));
  const ChunkKey normal = add(Priority::normal);
  const ChunkKey low = add(Priority::low);
  EXPECT_EQ(world_.rename("f3", "f4", RenameMode::exchange), 0);
  EXPECT_TRUE(world_->raise(world_.inode("f3")));
  const ChunkKey late = add(Priority::small);
  EXPECT_EQ(order(), (std::vector{small, bulk, normal, low, late}));
}

TEST_F(OwedChunks, GoFirstWhenTheyHaveWaitedForTenMinutes) {
  const ChunkKey bulk = add(Priority::bulk);
  world_.clock().advance(std::chrono::minutes(11));
  const ChunkKey small = add(Priority::small);
  EXPECT_EQ(order(), (std::vector{bulk, small}));
}

TEST_F(OwedChunks, AreNotThoseThatOnlyAnUnlinkedFileNeeds) {
  const ChunkKey temporary = add(Priority::normal);
  const ChunkKey other = add(Priority::normal);
  world_->pin(world_.inode("f1"));
  EXPECT_EQ(world_.unlink("f1"), 0);
  EXPECT_EQ(order(), std::vector{other});
  EXPECT_TRUE(world_->chunk(temporary));
}

TEST_F(OwedChunks, AreOwedAgainWhenTheServerHasLostThem) {
  const ChunkKey chunk = add(Priority::normal);
  world_.store(chunk);
  EXPECT_TRUE(order().empty());
  EXPECT_EQ(*world_->level(world_.inode("f1")), Level::stored);
  EXPECT_TRUE(world_->chunks_lost(std::vector{world_.id(chunk), world_.chunk_id(999)}));
  EXPECT_EQ(order(), std::vector{chunk});
  EXPECT_EQ(*world_->level(world_.inode("f1")), Level::spooled);
  expect_invariants(world_);
}

}  // namespace
}  // namespace coffer::meta
