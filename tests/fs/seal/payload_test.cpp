#include <gtest/gtest.h>

#include <functional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "fs/seal/padme.h"
#include "fs/seal/sealer.h"
#include "tests/fs/seal/example.h"

namespace coffer::seal {
namespace {

constexpr std::size_t kPlentyBytes = 64u << 20;

class ACommitPayload : public ::testing::Test {
 protected:
  void expect_corrupt(const Result<Bytes>& opened) {
    ASSERT_FALSE(opened);
    EXPECT_EQ(opened.error().fault, Fault::corrupt);
  }

  object::Commit commit(std::uint64_t seq) const {
    object::Commit commit;
    commit.vault = example::vault(1);
    commit.seq = seq;
    return commit;
  }
  object::Commit with(object::Commit commit, Bytes payload) const {
    commit.payload = std::move(payload);
    return commit;
  }
  Bytes sealed(ByteView plain, std::uint64_t seq) const { return sealer_.seal_payload(plain, commit(seq)); }
  Result<Bytes> opened(Bytes payload, std::uint64_t seq, std::size_t bytes_max = kPlentyBytes) const {
    return sealer_.open_payload(with(commit(seq), std::move(payload)), bytes_max);
  }

  testing::SeededRandom random_{12};
  Sealer sealer_{example::key(1), example::vault(1), random_, {}};
};

TEST_F(ACommitPayload, IsOpenedAsItWasSealed) {
  for (const std::size_t bytes : {0u, 1u, 2u, 100u, 5000u, 3u << 20}) {
    for (const Bytes& plain : {example::text(bytes, 1), example::noise(bytes, 2)}) {
      const Bytes payload = sealed(plain, 71);
      EXPECT_EQ(payload.size(), padme(payload.size()));
      const Result<Bytes> again = opened(payload, 71);
      ASSERT_TRUE(again) << again.error().what;
      EXPECT_TRUE(*again == plain);
    }
  }
}

TEST_F(ACommitPayload, IsCompressed) {
  const Bytes plain = example::text(1u << 20, 1);
  EXPECT_LT(sealed(plain, 1).size(), plain.size() / 2);
}

TEST_F(ACommitPayload, BelongsToOneCommitOfOneVault) {
  const Bytes payload = sealed(example::text(1000, 1), 71);
  expect_corrupt(opened(payload, 72));
  const Sealer other_vault(example::key(1), example::vault(2), random_, {});
  const Sealer other_key(example::key(2), example::vault(1), random_, {});
  object::Commit moved = with(commit(71), payload);
  expect_corrupt(other_key.open_payload(moved, kPlentyBytes));
  expect_corrupt(other_vault.open_payload(moved, kPlentyBytes));
  moved.vault = example::vault(2);
  expect_corrupt(other_vault.open_payload(moved, kPlentyBytes));
  expect_corrupt(sealer_.open_payload(moved, kPlentyBytes));
}

// Claim: a server that rewrites a commit, or puts its payload behind another log, makes it unreadable.
//
// Method: every field in clear is changed as whoever has no key can change it, and the commit is encoded anew.
TEST_F(ACommitPayload, IsNotOpenedWhereAnythingElseOfItsCommitWasChanged) {
  const auto id = [](unsigned number) { return object::ChunkId({std::byte{7}, static_cast<std::byte>(number)}); };
  object::Commit good = commit(71);
  good.previous = object::CommitHash({std::byte{5}});
  good.epoch = 4;
  good.added = {id(1), id(2), id(3)};
  good.released = {id(4), id(5)};
  const Bytes plain = example::text(1000, 1);
  good.payload = sealer_.seal_payload(plain, good);
  const auto passed_on = [&](object::Commit commit) {
    return sealer_.open_payload(object::decode_commit(object::encode(commit)).value(), kPlentyBytes);
  };
  ASSERT_TRUE(passed_on(good));

  const std::vector<std::pair<const char*, std::function<void(object::Commit&)>>> changes = {
      {"epoch", [](object::Commit& c) { c.epoch = 7777; }},
      {"previous", [](object::Commit& c) { c.previous = object::CommitHash({std::byte{6}}); }},
      {"seq", [](object::Commit& c) { c.seq = 72; }},
      {"vault", [](object::Commit& c) { c.vault = example::vault(2); }},
      {"nothing added", [](object::Commit& c) { c.added.clear(); }},
      {"nothing released", [](object::Commit& c) { c.released.clear(); }},
      {"one less added", [](object::Commit& c) { c.added.pop_back(); }},
      {"one more released", [&](object::Commit& c) { c.released.push_back(id(6)); }},
      {"another released", [&](object::Commit& c) { c.released.back() = id(6); }},
      {"added is released", [](object::Commit& c) { std::swap(c.added, c.released); }},
      {"the last added is released",
       [](object::Commit& c) {
         c.released.insert(c.released.begin(), c.added.back());
         c.added.pop_back();
       }},
  };
  for (const auto& [what, change] : changes) {
    SCOPED_TRACE(what);
    object::Commit changed = good;
    change(changed);
    expect_corrupt(passed_on(changed));
  }
}

// Claim: a vault that an earlier Coffer wrote is refused with a sentence, and not called damaged.
TEST_F(ACommitPayload, OfAnotherVersionIsNamedAsThat) {
  Bytes payload = sealed(example::text(1000, 1), 71);
  payload[6] = std::byte{1};
  const Result<Bytes> again = opened(payload, 71);
  expect_corrupt(again);
  EXPECT_NE(again.error().what.find("has version 1, and this Coffer reads version 2"), std::string::npos)
      << again.error().what;
}

TEST_F(ACommitPayload, IsNotTakenForAChunkNorAChunkForIt) {
  const Bytes plain = example::text(1000, 1);
  expect_corrupt(sealer_.open(sealed(plain, 1)));
  expect_corrupt(opened(copy_of(sealer_.seal(plain).bytes()), 1));
}

TEST_F(ACommitPayload, IsRefusedBeyondTheBoundOfWhoAsks) {
  const Bytes payload = sealed(Bytes(100'000, std::byte{0}), 1);
  EXPECT_TRUE(opened(payload, 1, 100'000));
  expect_corrupt(opened(payload, 1, 99'999));
}

TEST_F(ACommitPayload, IsNeverOpenedWithABitChangedOrAnotherLength) {
  const Bytes payload = sealed(example::text(400, 1), 1);
  for (std::size_t bit = 0; bit < payload.size() * 8; ++bit) {
    Bytes changed = payload;
    changed[bit / 8] ^= static_cast<std::byte>(1u << bit % 8);
    expect_corrupt(opened(changed, 1));
  }
  for (std::size_t bytes = 0; bytes <= payload.size() + 20; ++bytes) {
    if (bytes == payload.size()) continue;
    Bytes changed = payload;
    changed.resize(bytes, std::byte{0});
    expect_corrupt(opened(changed, 1));
  }
}

TEST_F(ACommitPayload, IsNeverSealedAlikeTwice) {
  std::set<Bytes> all;
  for (int i = 0; i < 50; ++i) all.insert(sealed({}, 1));
  EXPECT_EQ(all.size(), 50u);
}

}  // namespace
}  // namespace coffer::seal
