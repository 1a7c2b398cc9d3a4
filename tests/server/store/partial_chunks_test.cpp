#include "server/store/partial_chunks.h"

#include <gtest/gtest.h>

#include "tests/testing/seeded_random.h"

namespace coffer::store {
namespace {

using namespace std::chrono_literals;

class HandClock : public os::Clock {
 public:
  os::WallTime now() override { return os::WallTime(now_.time_since_epoch()); }
  os::SteadyTime steady() override { return now_; }
  void pass(std::chrono::seconds time) { now_ += time; }

 private:
  os::SteadyTime now_ = os::SteadyTime(1h);
};

template <class Id>
Id id_of(unsigned number) {
  std::array<std::byte, Id::kSize> bytes{};
  std::memcpy(bytes.data(), &number, sizeof(number));
  return Id(bytes);
}

class Partials : public ::testing::Test {
 protected:
  void open(PartialOptions options) { partials_ = std::make_shared<PartialChunks>(clock_, options); }

  PartialKey key(unsigned client, unsigned chunk) {
    return {id_of<object::ClientId>(client), vault_, id_of<object::ChunkId>(chunk)};
  }
  /// `bytes` of a chunk of `chunk_bytes` come in, from `offset` on; then the connection breaks.
  void break_off(const PartialKey& key, const Bytes& chunk, std::uint64_t until, std::uint64_t offset = 0) {
    const auto incoming = partials_->begin(key, chunk.size(), offset);
    ASSERT_NE(incoming, nullptr);
    receive(*incoming, chunk, until);
  }
  static void receive(IncomingChunk& incoming, const Bytes& chunk, std::uint64_t until) {
    while (incoming.received() < until) {
      const std::size_t at = incoming.received();
      const std::size_t count = std::min<std::size_t>({incoming.room().size(), until - at, 1000});
      std::copy_n(chunk.begin() + static_cast<std::ptrdiff_t>(at), count, incoming.room().begin());
      incoming.add(count);
    }
  }

  HandClock clock_;
  testing::SeededRandom random_{1};
  object::VaultId vault_ = id_of<object::VaultId>(7);
  std::shared_ptr<PartialChunks> partials_ = std::make_shared<PartialChunks>(clock_);
};

// Claim: wherever a chunk is broken off, and wherever before that its sender goes on, it comes together as it was.
TEST_F(Partials, ComeTogetherWhereverTheyAreBrokenOff) {
  const Bytes chunk = random_.bytes(10'000);
  const object::ChunkId id(crypto::sha256(chunk));
  for (unsigned i = 0; i < 200; ++i) {
    SCOPED_TRACE(i);
    const PartialKey key{id_of<object::ClientId>(1), vault_, id_of<object::ChunkId>(i)};
    const std::uint64_t first = random_.below(chunk.size()) + 1;
    break_off(key, chunk, first);
    ASSERT_EQ(partials_->received(key), first);
    const std::uint64_t second = random_.below(first + 1);
    const std::uint64_t until = second + random_.below(chunk.size() - second + 1);
    break_off(key, chunk, until, second);
    const std::uint64_t there = partials_->received(key);
    ASSERT_EQ(there, second == 0 ? std::max(first, until) : until);
    const auto incoming = partials_->begin(key, chunk.size(), there);
    ASSERT_NE(incoming, nullptr);
    receive(*incoming, chunk, chunk.size());
    ASSERT_TRUE(incoming->is_whole());
    EXPECT_EQ(incoming->digest(), id);
    EXPECT_TRUE(std::ranges::equal(*incoming->whole(), chunk));
    incoming->discard();
  }
  EXPECT_EQ(partials_->kept_bytes(), 0u);
}

TEST_F(Partials, AreKeptNoFurtherThanTheyAreGood) {
  const Bytes chunk = random_.bytes(10'000);
  auto incoming = partials_->begin(key(1, 1), chunk.size(), 0);
  receive(*incoming, chunk, chunk.size());
  static_cast<void>(incoming->digest());
  incoming->discard(4096);
  incoming.reset();
  EXPECT_EQ(partials_->received(key(1, 1)), 4096u);
  incoming = partials_->begin(key(1, 1), chunk.size(), 4096);
  receive(*incoming, chunk, chunk.size());
  EXPECT_EQ(incoming->digest(), object::ChunkId(crypto::sha256(chunk)));
}

// Claim: bytes that come in on a connection that its sender has given up, and the server not yet, are gone on from.
TEST_F(Partials, AreSeenWhileTheyComeIn) {
  const Bytes chunk = random_.bytes(10'000);
  const auto dead = partials_->begin(key(1, 1), chunk.size(), 0);
  receive(*dead, chunk, 6000);
  EXPECT_EQ(partials_->received(key(1, 1)), 6000u);
  const auto next = partials_->begin(key(1, 1), chunk.size(), 6000);
  ASSERT_NE(next, nullptr);
  receive(*dead, chunk, 7000);
  receive(*next, chunk, chunk.size());
  EXPECT_EQ(next->digest(), object::ChunkId(crypto::sha256(chunk)));
  EXPECT_EQ(partials_->begin(key(1, 2), chunk.size(), 1), nullptr);
}

TEST_F(Partials, OfAChunkOfAnotherLengthAreThrownAway) {
  const Bytes chunk = random_.bytes(10'000);
  break_off(key(1, 1), chunk, 5000);
  EXPECT_EQ(partials_->begin(key(1, 1), 9999, 5000), nullptr);
  EXPECT_EQ(partials_->received(key(1, 1)), 0u);
  EXPECT_EQ(partials_->kept_bytes(), 0u);
}

TEST_F(Partials, BelongToTheirClientAndVault) {
  const Bytes chunk = random_.bytes(10'000);
  break_off(key(1, 1), chunk, 5000);
  EXPECT_EQ(partials_->received(key(2, 1)), 0u);
  EXPECT_EQ(partials_->begin(key(2, 1), chunk.size(), 5000), nullptr);
  PartialKey elsewhere = key(1, 1);
  elsewhere.vault = id_of<object::VaultId>(8);
  EXPECT_EQ(partials_->received(elsewhere), 0u);
  EXPECT_EQ(partials_->received(key(1, 1)), 5000u);
}

// Claim: one client's broken connections take no more than its share, its oldest go first, and nobody else's go for it.
TEST_F(Partials, OfOneClientAreBoundedAndCostOthersNothing) {
  open({.client_bytes_max = 100'000, .total_bytes_max = 250'000, .lifetime = 60min});
  const Bytes chunk = random_.bytes(20'000);
  break_off(key(2, 1), chunk, 10'000);
  for (unsigned i = 0; i < 50; ++i) {
    break_off(key(1, i), chunk, 10'000);
    ASSERT_LE(partials_->kept_bytes(id_of<object::ClientId>(1)), 100'000u);
  }
  EXPECT_EQ(partials_->received(key(1, 0)), 0u);
  EXPECT_EQ(partials_->received(key(1, 49)), 10'000u);
  EXPECT_EQ(partials_->received(key(2, 1)), 10'000u);
  // A great many tiny ones take memory, too.
  for (unsigned i = 0; i < 1000; ++i) break_off(key(1, 1000 + i), chunk, 1);
  EXPECT_LE(partials_->kept_bytes(id_of<object::ClientId>(1)), 100'000u);
  EXPECT_EQ(partials_->received(key(1, 1000)), 0u);
}

TEST_F(Partials, OfAllClientsAreBoundedAtTheCostOfTheGreediest) {
  open({.client_bytes_max = 100'000, .total_bytes_max = 250'000, .lifetime = 60min});
  const Bytes chunk = random_.bytes(20'000);
  break_off(key(9, 1), chunk, 10'000);
  for (unsigned client = 1; client <= 5; ++client) {
    for (unsigned i = 0; i < 9; ++i) break_off(key(client, i), chunk, 10'000);
    ASSERT_LE(partials_->kept_bytes(), 250'000u);
  }
  EXPECT_EQ(partials_->received(key(9, 1)), 10'000u) << "the oldest, but of one who keeps little";
}

TEST_F(Partials, AreLetGoWhenNobodyComesBackForThem) {
  const Bytes chunk = random_.bytes(10'000);
  break_off(key(1, 1), chunk, 5000);
  clock_.pass(30min);
  break_off(key(1, 2), chunk, 5000);
  clock_.pass(31min);
  partials_->expire();
  EXPECT_EQ(partials_->received(key(1, 1)), 0u);
  EXPECT_EQ(partials_->received(key(1, 2)), 5000u);
  partials_->drop(key(1, 2));
  EXPECT_EQ(partials_->kept_bytes(), 0u);
}

}  // namespace
}  // namespace coffer::store
