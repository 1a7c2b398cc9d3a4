#include "fs/spool/spool.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <atomic>
#include <cerrno>
#include <chrono>
#include <filesystem>
#include <functional>
#include <map>
#include <thread>

#include "fs/keys/vault_key.h"
#include "fs/seal/sealer.h"
#include "fs/spool/disk_room.h"
#include "tests/testing/faulty_disk.h"
#include "tests/testing/seeded_random.h"
#include "tests/testing/temp_dir.h"

namespace coffer::spool {
namespace {

using namespace std::chrono_literals;

class SpoolTest : public ::testing::Test {
 protected:
  SpoolTest() { open(1u << 20); }

  void open(std::uint64_t bytes_max) {
    spool_.reset();
    auto opened = Spool::open(disk_, folder_.path().string(),
                              {.bytes_max = bytes_max,
                               .pack_bytes_max = 1u << 18,
                               .disk_bytes_spared = 0,
                               .settle_tree =
                                   [this] {
                                     const auto settle = settle_tree_;
                                     return settle ? settle() : Result<void>();
                                   }},
                              [this](const object::ChunkId& id) -> Result<Standing> {
                                const auto found = standing_.find(id);
                                return found == standing_.end() ? Standing::unknown : found->second;
                              });
    ASSERT_TRUE(opened) << opened.error().what;
    spool_ = std::move(*opened);
  }

  seal::SealedChunk sealed(std::size_t plain_bytes) { return sealer_.seal(random_.bytes(plain_bytes)); }

  seal::SealedChunk put(std::size_t plain_bytes) {
    seal::SealedChunk chunk = sealed(plain_bytes);
    EXPECT_TRUE(spool_->put(chunk));
    standing_[chunk.id()] = Standing::owed;
    return chunk;
  }

  void release(const seal::SealedChunk& chunk) {
    spool_->release(chunk.id());
    standing_[chunk.id()] = Standing::cached;
  }

  bool has(const seal::SealedChunk& chunk) { return spool_->contains(chunk.id()) && spool_->get(chunk.id()); }

  testing::TempDir folder_;
  testing::FaultyDisk disk_;
  testing::SeededRandom random_{1};
  seal::Sealer sealer_{keys::VaultKey::generate(random_),
                       object::VaultId(),
                       random_,
                       {.codec = seal::Compression::Codec::none, .level = 0}};
  std::map<object::ChunkId, Standing> standing_;
  std::function<Result<void>()> settle_tree_;
  std::unique_ptr<Spool> spool_;
};

/// A disk that has as much free as the test says.
class DiskWithRoom : public testing::FaultyDisk {
 public:
  Result<std::uint64_t> free_bytes(const std::string&) override {
    ++asked;
    return free.load();
  }
  std::atomic<std::uint64_t> free{0};
  std::atomic<int> asked{0};
};

class SpoolOnADisk : public SpoolTest {
 protected:
  void SetUp() override {
    auto opened = Spool::open(disk_, (folder_ / "other").string(), {.bytes_max = 1u << 30, .disk_bytes_spared = 0},
                              [](const object::ChunkId&) { return Standing::owed; });
    ASSERT_TRUE(opened) << opened.error().what;
    spool_ = std::move(*opened);
  }
  Result<void> room(std::uint64_t bytes) { return spool_->wait_for_room(bytes, {}, {}); }
  void TearDown() override { spool_.reset(); }

  DiskWithRoom disk_;
};

// Claim: writers do not ask the disk at each write where there is plenty of it.
TEST_F(SpoolOnADisk, AsksItSeldomWhileThereIsPlenty) {
  disk_.free = 10ull << 30;
  const auto begun = std::chrono::steady_clock::now();
  for (int i = 0; i < 1000; ++i) ASSERT_TRUE(room(1u << 20));
  EXPECT_LE(disk_.asked.load(), 1 + (std::chrono::steady_clock::now() - begun) / kLookAge);
}

// Claim: where room is short, a writer hears of the last of it being gone before it writes, at once.
TEST_F(SpoolOnADisk, SeesAtOnceThatTheLastOfItIsGone) {
  disk_.free = 200u << 20;
  ASSERT_TRUE(room(100u << 20));
  disk_.free = 50u << 20;
  const Result<void> none = room(100u << 20);
  ASSERT_FALSE(none);
  EXPECT_EQ(none.error().fault, Fault::full);
  disk_.free = 200u << 20;
  EXPECT_TRUE(room(100u << 20));
}

// Claim: what was put since the disk was asked is not taken for free.
TEST_F(SpoolOnADisk, CountsWhatItPutSinceItAsked) {
  disk_.free = kPlentyBytes + (2u << 20);
  ASSERT_TRUE(room(1u << 20));
  ASSERT_TRUE(room(1u << 20));
  const int asked = disk_.asked;
  for (int i = 0; i < 4; ++i) put(500'000);
  ASSERT_TRUE(room(1u << 20));
  EXPECT_GT(disk_.asked.load(), asked);
}

TEST_F(SpoolTest, GivesBackWhatWasPutWholeAndInParts) {
  const seal::SealedChunk chunk = put(50'000);
  const auto whole = spool_->get(chunk.id());
  ASSERT_TRUE(whole);
  EXPECT_TRUE(std::ranges::equal(**whole, chunk.bytes()));
  const auto part = spool_->get_range(chunk.id(), 1000, 500);
  ASSERT_TRUE(part);
  EXPECT_TRUE(std::ranges::equal(*part, chunk.bytes().subspan(1000, 500)));
  const auto outside = spool_->get_range(chunk.id(), 1000, static_cast<std::uint32_t>(chunk.bytes().size()));
  ASSERT_FALSE(outside);
  EXPECT_EQ(outside.error().fault, Fault::corrupt);
  const auto absent = spool_->get(object::ChunkId());
  ASSERT_FALSE(absent);
  EXPECT_EQ(absent.error().code, ENOENT);
}

TEST_F(SpoolTest, HandsOutWhatWasPutLastAsItWasMadeOnceUntilItIsStored) {
  open(128u << 20);
  const seal::SealedChunk sent = put(500'000);
  EXPECT_EQ(*spool_->get(sent.id()), sent.shared());
  EXPECT_NE(*spool_->get(sent.id()), sent.shared()) << "whoever sends it has it";
  const seal::SealedChunk stored = put(500'000);
  release(stored);
  EXPECT_NE(*spool_->get(stored.id()), stored.shared());
  const seal::SealedChunk waiting = put(500'000);
  EXPECT_EQ(waiting.shared().use_count(), 3) << "ours, the one that is asked, and the kept one";
  for (int i = 0; i < 110; ++i) put(500'000);  // More than is kept in memory.
  EXPECT_EQ(waiting.shared().use_count(), 2);
  EXPECT_TRUE(std::ranges::equal(**spool_->get(waiting.id()), waiting.bytes()));
}

TEST_F(SpoolTest, MakesWhatItHoldsSafeWithoutRemovingAnything) {
  const seal::SealedChunk chunk = put(50'000);
  const auto disk_bytes = [&] {
    std::uint64_t sum = 0;
    for (const auto& file : std::filesystem::recursive_directory_iterator(folder_.path())) {
      struct stat st {};
      if (file.path().extension() == ".pack" && ::stat(file.path().c_str(), &st) == 0) sum += st.st_blocks * 512;
    }
    return sum;
  };
  const std::uint64_t before = disk_bytes();
  ASSERT_TRUE(spool_->drop_unnamed(chunk.id()));
  ASSERT_TRUE(spool_->settle());
  EXPECT_FALSE(spool_->contains(chunk.id()));
  EXPECT_EQ(disk_bytes(), before) << "each fsync would pay for it";
  ASSERT_TRUE(spool_->clear());
  EXPECT_LT(disk_bytes(), before);
}

// Claim: packs are synced for what is here alone: an fsync whose chunks the server has already does not pay for it.
TEST_F(SpoolTest, SyncsOwedChunksOnly) {
  const auto syncs = [&] {
    const std::uint64_t before = disk_.sync_count();
    EXPECT_TRUE(spool_->settle());
    return disk_.sync_count() - before;
  };
  const seal::SealedChunk first = put(50'000);
  const seal::SealedChunk second = put(50'000);
  release(first);
  EXPECT_EQ(syncs(), 1);
  EXPECT_EQ(syncs(), 0) << "nothing came";
  const seal::SealedChunk third = put(50'000);
  release(third);
  EXPECT_EQ(syncs(), 0) << "the server has it";
  spool_->owe(third.id());
  EXPECT_EQ(syncs(), 1) << "the server has lost it";
}

// Claim: a chunk that the server turns out to have lost while it is on its way out of the cache stays: it may be the
// last copy. One that is on its way out for good, or was not lost, goes.
TEST_F(SpoolTest, KeepsAChunkThatIsOwedAgainWhileItIsBeingEvicted) {
  const seal::SealedChunk lost = put(50'000);
  const seal::SealedChunk other = put(40'000);
  const seal::SealedChunk unnamed = put(30'000);
  release(lost);
  release(other);
  ASSERT_TRUE(spool_->drop_unnamed(unnamed.id()));
  settle_tree_ = [&]() -> Result<void> {
    spool_->owe(unnamed.id());
    if (!spool_->contains(lost.id())) spool_->owe(lost.id());
    return {};
  };
  ASSERT_TRUE(spool_->clear());
  settle_tree_ = nullptr;
  EXPECT_TRUE(has(lost));
  EXPECT_FALSE(has(other));
  EXPECT_FALSE(has(unnamed));
  EXPECT_EQ(spool_->owed_bytes(), lost.bytes().size());
  EXPECT_EQ(spool_->used_bytes(), lost.bytes().size());

  // Stored and evicted once more, it goes.
  release(lost);
  ASSERT_TRUE(spool_->clear());
  EXPECT_FALSE(has(lost));
  EXPECT_EQ(spool_->used_bytes(), 0u);
}

// Claim: what was brought back and marked again leaves with the later settle(), not with the earlier.
TEST_F(SpoolTest, DoesNotLetAnEarlierEvictionTakeWhatALaterOneWaitsToTake) {
  const seal::SealedChunk chunk = put(50'000);
  release(chunk);
  bool was_there = false;
  settle_tree_ = [&]() -> Result<void> {
    if (spool_->contains(chunk.id())) return {};
    settle_tree_ = nullptr;
    spool_->owe(chunk.id());
    return spool_->drop_unnamed(chunk.id());
  };
  ASSERT_TRUE(spool_->clear());
  settle_tree_ = [&]() -> Result<void> {
    settle_tree_ = nullptr;
    was_there = !spool_->put(chunk).has_value();  // It says so of a chunk that is still on its way out.
    return {};
  };
  ASSERT_TRUE(spool_->clear());
  EXPECT_TRUE(was_there);
  EXPECT_TRUE(spool_->put(chunk));
}

TEST_F(SpoolTest, KeepsWhatIsOwedAcrossARestart) {
  const seal::SealedChunk owed = put(50'000);
  const seal::SealedChunk cached = put(60'000);
  release(cached);
  open(1u << 20);
  EXPECT_TRUE(has(owed));
  EXPECT_TRUE(has(cached));
  EXPECT_EQ(spool_->owed_bytes(), owed.bytes().size());
  EXPECT_EQ(spool_->used_bytes(), owed.bytes().size() + cached.bytes().size());
}

TEST_F(SpoolTest, DropsAtAStartWhatTheTreeDoesNotKnow) {
  const seal::SealedChunk orphan = put(50'000);
  standing_.clear();
  open(1u << 20);
  EXPECT_FALSE(spool_->contains(orphan.id()));
  EXPECT_FALSE(spool_->get(orphan.id()));
  EXPECT_EQ(spool_->used_bytes(), 0u);
}

TEST_F(SpoolTest, EvictsTheLongestUnusedAndNeverWhatIsOwed) {
  const seal::SealedChunk owed = put(200'000);
  std::vector<seal::SealedChunk> cached;
  for (int i = 0; i < 3; ++i) {
    cached.push_back(put(200'000));
    release(cached.back());
  }
  EXPECT_TRUE(spool_->get(cached[0].id()));  // Now cached[1] is the longest unused.
  const seal::SealedChunk last = put(300'000);
  EXPECT_TRUE(has(owed));
  EXPECT_TRUE(has(last));
  EXPECT_TRUE(has(cached[0]));
  EXPECT_FALSE(spool_->contains(cached[1].id()));
  EXPECT_LE(spool_->used_bytes(), spool_->bytes_max());
}

TEST_F(SpoolTest, EvictsNothingThatIsOwedAgainBecauseTheServerLostIt) {
  const seal::SealedChunk lost = put(200'000);
  release(lost);
  const seal::SealedChunk other = put(200'000);
  release(other);
  spool_->owe(lost.id());
  spool_->owe(lost.id());
  spool_->owe(sealed(10).id());
  EXPECT_EQ(spool_->owed_bytes(), lost.bytes().size());
  ASSERT_TRUE(spool_->clear());
  EXPECT_TRUE(has(lost));
  EXPECT_FALSE(spool_->contains(other.id()));
  spool_->release(lost.id());
  EXPECT_EQ(spool_->owed_bytes(), 0u);
}

TEST_F(SpoolTest, RefusesWhatTheOwedChunksLeaveNoRoomForAndTakesItAfterOneIsStored) {
  const seal::SealedChunk first = put(500'000);
  put(400'000);
  const seal::SealedChunk next = sealed(300'000);
  const auto refused = spool_->put(next);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().fault, Fault::full);
  EXPECT_FALSE(spool_->contains(next.id()));
  EXPECT_TRUE(has(first));
  release(first);
  EXPECT_TRUE(spool_->put(next));
  EXPECT_FALSE(spool_->contains(first.id()));
}

TEST_F(SpoolTest, WakesWhoWaitsForRoomWhenAChunkIsStored) {
  const seal::SealedChunk chunk = put(900'000);
  const auto full = spool_->wait_for_room(500'000, std::chrono::steady_clock::now(), {});
  ASSERT_FALSE(full);
  EXPECT_EQ(full.error().fault, Fault::full);
  std::thread uploader([&] { release(chunk); });
  EXPECT_TRUE(spool_->wait_for_room(500'000, std::chrono::steady_clock::now() + 20s, {}));
  uploader.join();
}

TEST_F(SpoolTest, EndsAWaitWhenItIsInterrupted) {
  put(900'000);
  std::stop_source interrupt;
  std::thread user([&] { interrupt.request_stop(); });
  const auto waited = spool_->wait_for_room(500'000, std::chrono::steady_clock::now() + 20s, interrupt.get_token());
  user.join();
  ASSERT_FALSE(waited);
  EXPECT_EQ(waited.error().fault, Fault::stopped);
}

TEST_F(SpoolTest, KeepsAFetchedChunkAsCache) {
  const seal::SealedChunk chunk = sealed(50'000);
  EXPECT_TRUE(spool_->put_fetched(chunk.id(), chunk.bytes()));
  EXPECT_TRUE(has(chunk));
  EXPECT_EQ(spool_->owed_bytes(), 0u);
}

TEST_F(SpoolTest, HasNoRoomForAFetchedChunkWhereOwedOnesNeedIt) {
  put(900'000);
  const seal::SealedChunk chunk = sealed(300'000);
  const auto refused = spool_->put_fetched(chunk.id(), chunk.bytes());
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().fault, Fault::full);
}

TEST_F(SpoolTest, ClearsAllButWhatIsOwed) {
  const seal::SealedChunk owed = put(50'000);
  const seal::SealedChunk cached = put(50'000);
  release(cached);
  ASSERT_TRUE(spool_->clear());
  EXPECT_TRUE(has(owed));
  EXPECT_FALSE(spool_->contains(cached.id()));
}

TEST_F(SpoolTest, DropsADeadChunkEvenIfItIsOwed) {
  const seal::SealedChunk chunk = put(50'000);
  ASSERT_TRUE(spool_->drop(chunk.id()));
  EXPECT_FALSE(spool_->contains(chunk.id()));
  EXPECT_EQ(spool_->owed_bytes(), 0u);
  EXPECT_TRUE(spool_->drop(chunk.id()));
}

TEST_F(SpoolTest, StaysInItsBudgetUnderManyThreads) {
  std::vector<std::thread> threads;
  for (unsigned t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      testing::SeededRandom random(t);
      for (int i = 0; i < 40; ++i) {
        const seal::SealedChunk chunk = sealer_.seal(random.bytes(20'000 + random.below(60'000)));
        if (i % 2 == 0) {
          ASSERT_TRUE(spool_->put(chunk));
          ASSERT_TRUE(spool_->get(chunk.id()));
          spool_->release(chunk.id());
        } else {
          static_cast<void>(spool_->put_fetched(chunk.id(), chunk.bytes()));
          static_cast<void>(spool_->drop(chunk.id()));
        }
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_LE(spool_->used_bytes(), spool_->bytes_max());
  EXPECT_EQ(spool_->owed_bytes(), 0u);
}

}  // namespace
}  // namespace coffer::spool
