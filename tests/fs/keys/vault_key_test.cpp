#include "fs/keys/vault_key.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "common/base/text.h"
#include "tests/testing/seeded_random.h"

namespace coffer::keys {
namespace {

const object::VaultId kVault =
    object::VaultId::from(base::from_hex("000102030405060708090a0b0c0d0e0f").value()).value();
const object::VaultId kOtherVault;

VaultKey counting_key() {
  Bytes bytes(kVaultKeyBytes);
  for (std::size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<std::byte>(i);
  return VaultKey::from_bytes(bytes).value();
}

std::string derived(const VaultKey& key, std::string_view label, const object::VaultId& vault) {
  const crypto::Secret secret = key.derive(label, vault);
  return base::to_hex(secret.bytes());
}

TEST(VaultKey, TakesThirtyTwoBytesAndNoOthers) {
  for (const std::size_t bytes : {0u, 16u, 31u, 33u, 64u}) {
    const Result<VaultKey> key = VaultKey::from_bytes(Bytes(bytes, std::byte{1}));
    ASSERT_FALSE(key) << bytes;
    EXPECT_EQ(key.error().fault, Fault::corrupt);
  }
  EXPECT_TRUE(VaultKey::from_bytes(Bytes(32, std::byte{1})));
}

TEST(VaultKey, IsMadeOfRandomBytes) {
  testing::SeededRandom random(1);
  const VaultKey one = VaultKey::generate(random);
  const VaultKey two = VaultKey::generate(random);
  EXPECT_FALSE(std::ranges::equal(one.bytes(), two.bytes()));
}

// The values were computed with Python's hmac module, from RFC 5869 and KEYS.md alone.
TEST(VaultKey, DerivesWhatKeysMdSays) {
  const VaultKey key = counting_key();
  EXPECT_EQ(derived(key, kChunkLabel, kVault), "c59bb3702a94d211e5b716ab2eb6b0dd699ec0ba4d44314d4d4aa38680ac39c6");
  EXPECT_EQ(derived(key, kCommitLabel, kVault), "5fa46417103b7aa2793a92d3f4f1afa4ad2e0bcaab447c85281eca96828c0978");
  EXPECT_EQ(derived(key, kChunkerLabel, kVault), "4a6d9333f1ec90ca71b8495a3dc01444081c606bb8e8e20696edc158f09961a9");
  EXPECT_EQ(derived(key, kStagingLabel, kVault), "a7a840fa9d1830a3ab0c82e48375387faf3ed0bb130ce470fb8289d36d72d0f6");
  EXPECT_EQ(derived(key, kPieceLabel, kVault), "79d931d617a0f54522094cd6b4802787435fcbc50bd078fa3e1ace2cccfda1c5");
}

TEST(VaultKey, GivesEachLabelAndVaultAKeyOfItsOwn) {
  const VaultKey key = counting_key();
  EXPECT_NE(derived(key, kChunkLabel, kVault), derived(key, kCommitLabel, kVault));
  EXPECT_NE(derived(key, kChunkLabel, kVault), derived(key, kChunkLabel, kOtherVault));
}

}  // namespace
}  // namespace coffer::keys
