#include <gtest/gtest.h>

#include <set>

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

  testing::SeededRandom random_{12};
  Sealer sealer_{example::key(1), example::vault(1), random_, {}};
};

TEST_F(ACommitPayload, IsOpenedAsItWasSealed) {
  for (const std::size_t bytes : {0u, 1u, 2u, 100u, 5000u, 3u << 20}) {
    for (const Bytes& plain : {example::text(bytes, 1), example::noise(bytes, 2)}) {
      const Bytes sealed = sealer_.seal_payload(plain, 71);
      EXPECT_EQ(sealed.size(), padme(sealed.size()));
      const Result<Bytes> opened = sealer_.open_payload(sealed, 71, kPlentyBytes);
      ASSERT_TRUE(opened) << opened.error().what;
      EXPECT_TRUE(*opened == plain);
    }
  }
}

TEST_F(ACommitPayload, IsCompressed) {
  const Bytes plain = example::text(1u << 20, 1);
  EXPECT_LT(sealer_.seal_payload(plain, 1).size(), plain.size() / 2);
}

TEST_F(ACommitPayload, BelongsToOneCommitOfOneVault) {
  const Bytes sealed = sealer_.seal_payload(example::text(1000, 1), 71);
  expect_corrupt(sealer_.open_payload(sealed, 72, kPlentyBytes));
  const Sealer other_vault(example::key(1), example::vault(2), random_, {});
  const Sealer other_key(example::key(2), example::vault(1), random_, {});
  expect_corrupt(other_vault.open_payload(sealed, 71, kPlentyBytes));
  expect_corrupt(other_key.open_payload(sealed, 71, kPlentyBytes));
}

TEST_F(ACommitPayload, IsNotTakenForAChunkNorAChunkForIt) {
  const Bytes plain = example::text(1000, 1);
  expect_corrupt(sealer_.open(sealer_.seal_payload(plain, 1)));
  expect_corrupt(sealer_.open_payload(sealer_.seal(plain).bytes(), 1, kPlentyBytes));
}

TEST_F(ACommitPayload, IsRefusedBeyondTheBoundOfWhoAsks) {
  const Bytes sealed = sealer_.seal_payload(Bytes(100'000, std::byte{0}), 1);
  EXPECT_TRUE(sealer_.open_payload(sealed, 1, 100'000));
  expect_corrupt(sealer_.open_payload(sealed, 1, 99'999));
}

TEST_F(ACommitPayload, IsNeverOpenedWithABitChangedOrAnotherLength) {
  const Bytes sealed = sealer_.seal_payload(example::text(400, 1), 1);
  for (std::size_t bit = 0; bit < sealed.size() * 8; ++bit) {
    Bytes changed = sealed;
    changed[bit / 8] ^= static_cast<std::byte>(1u << bit % 8);
    expect_corrupt(sealer_.open_payload(changed, 1, kPlentyBytes));
  }
  for (std::size_t bytes = 0; bytes <= sealed.size() + 20; ++bytes) {
    if (bytes == sealed.size()) continue;
    Bytes changed = sealed;
    changed.resize(bytes, std::byte{0});
    expect_corrupt(sealer_.open_payload(changed, 1, kPlentyBytes));
  }
}

TEST_F(ACommitPayload, IsNeverSealedAlikeTwice) {
  std::set<Bytes> all;
  for (int i = 0; i < 50; ++i) all.insert(sealer_.seal_payload({}, 1));
  EXPECT_EQ(all.size(), 50u);
}

}  // namespace
}  // namespace coffer::seal
