#include "common/crypto/sign.h"

#include <gtest/gtest.h>

#include "tests/testing/hex.h"
#include "tests/testing/seeded_random.h"

namespace coffer::crypto {
namespace {

using testing::hex;

void expect_signature(std::string_view seed, std::string_view public_key, std::string_view message,
                      std::string_view signature) {
  const Result<SigningKey> key = SigningKey::from_seed(hex(seed));
  ASSERT_TRUE(key);
  EXPECT_EQ(base::to_hex(key->public_key()), public_key);
  EXPECT_EQ(base::to_hex(key->sign(hex(message))), signature);
  EXPECT_TRUE(verify(key->public_key(), hex(message), key->sign(hex(message))));
}

// RFC 8032, section 7.1, tests 1 and 2.
TEST(Ed25519, AgreesWithItsStandard) {
  expect_signature("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
                   "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a", "",
                   "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555"
                   "fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b");
  expect_signature("4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
                   "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c", "72",
                   "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da"
                   "085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00");
}

TEST(Ed25519, HoldsForItsOwnKeyAndMessageOnly) {
  testing::SeededRandom random(1);
  const SigningKey key = SigningKey::generate(random);
  const SigningKey other = SigningKey::generate(random);
  Signature signature = key.sign(as_bytes("message"));
  EXPECT_TRUE(verify(key.public_key(), as_bytes("message"), signature));
  EXPECT_FALSE(verify(key.public_key(), as_bytes("Message"), signature));
  EXPECT_FALSE(verify(other.public_key(), as_bytes("message"), signature));
  signature[10] ^= std::byte{1};
  EXPECT_FALSE(verify(key.public_key(), as_bytes("message"), signature));
}

TEST(Ed25519, ComesBackFromItsSeed) {
  testing::SeededRandom random(2);
  const SigningKey key = SigningKey::generate(random);
  EXPECT_EQ(SigningKey::from_seed(key.seed())->public_key(), key.public_key());
  EXPECT_EQ(SigningKey::from_seed(key.seed().first(31)).error().fault, Fault::corrupt);
}

}  // namespace
}  // namespace coffer::crypto
