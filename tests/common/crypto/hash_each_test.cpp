#include "common/crypto/hash_each.h"

#include <gtest/gtest.h>

#include "common/crypto/sha256_lanes.h"
#include "tests/testing/hex.h"
#include "tests/testing/seeded_random.h"

namespace coffer::crypto {
namespace {

/// Messages of these lengths, each of its own bytes and at an odd address.
struct Messages {
  explicit Messages(const std::vector<std::size_t>& lengths) {
    testing::SeededRandom random(static_cast<unsigned>(lengths.size()));
    for (const std::size_t length : lengths) kept.push_back(random.bytes(length + 1));
    for (const Bytes& bytes : kept) views.push_back(ByteView(bytes).subspan(1));
  }
  std::vector<Bytes> kept;
  std::vector<ByteView> views;
};

void expect_as_one_by_one(const std::vector<std::size_t>& lengths) {
  const Messages messages(lengths);
  const Bytes key = testing::SeededRandom(7).bytes(32);
  const std::vector<Digest> plain = sha256_each(messages.views);
  const std::vector<Digest> keyed = hmac_sha256_each(key, messages.views);
  ASSERT_EQ(plain.size(), lengths.size());
  ASSERT_EQ(keyed.size(), lengths.size());
  for (std::size_t i = 0; i < lengths.size(); ++i) {
    EXPECT_EQ(plain[i], sha256(messages.views[i])) << "message " << i << " of " << lengths[i] << " bytes";
    EXPECT_EQ(keyed[i], hmac_sha256(key, messages.views[i])) << "message " << i << " of " << lengths[i] << " bytes";
  }
}

// FIPS 180-4, by NIST's examples, in every place of as many as go together.
TEST(HashEach, AgreesWithItsStandardInEveryLane) {
  const std::string two_blocks = "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq";
  const std::string million(1'000'000, 'a');
  for (std::size_t count = 1; count <= 2 * kHashedTogetherMax; ++count) {
    const std::vector<ByteView> messages(count, as_bytes(two_blocks));
    for (const Digest& digest : sha256_each(messages)) {
      EXPECT_EQ(base::to_hex(digest), "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
    }
  }
  for (const std::size_t count : {8u, 16u}) {
    const std::vector<ByteView> messages(count, as_bytes(million));
    for (const Digest& digest : sha256_each(messages)) {
      EXPECT_EQ(base::to_hex(digest), "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
    }
  }
}

// Claim: each digest is what its message gives alone, whatever the others are. Every length up to four blocks stands
// beside others, in every number of messages at once.
TEST(HashEach, GivesForEachWhatItGivesAlone) {
  expect_as_one_by_one({});
  for (std::size_t count = 1; count <= 3 * kHashedTogetherMax; ++count) {
    SCOPED_TRACE(::testing::Message() << count << " messages");
    std::vector<std::size_t> lengths;
    for (std::size_t i = 0; i < count; ++i) lengths.push_back((count * 37 + i * 61) % 257);
    expect_as_one_by_one(lengths);
  }
  for (std::size_t length = 0; length <= 256; ++length) {
    expect_as_one_by_one(std::vector<std::size_t>(9, length));
  }
}

TEST(HashEach, GoesOnWithTheLongOnesWhereTheShortOnesEnd) {
  testing::SeededRandom random(3);
  for (int round = 0; round < 20; ++round) {
    SCOPED_TRACE(round);
    std::vector<std::size_t> lengths;
    for (std::size_t count = 1 + random.below(40); count > 0; --count) lengths.push_back(random.below(20'000));
    expect_as_one_by_one(lengths);
  }
}

TEST(HashEach, TakesKeysOfAnyLength) {
  const Messages messages({0, 1, 64, 100, 1000, 5000});
  for (const std::size_t key_bytes : {0u, 1u, 63u, 64u, 65u, 200u}) {
    const Bytes key = testing::SeededRandom(9).bytes(key_bytes);
    const std::vector<Digest> keyed = hmac_sha256_each(key, messages.views);
    for (std::size_t i = 0; i < keyed.size(); ++i) {
      EXPECT_EQ(keyed[i], hmac_sha256(key, messages.views[i])) << key_bytes << " bytes of key, message " << i;
    }
  }
}

}  // namespace
}  // namespace coffer::crypto
