#include "common/crypto/hash.h"

#include <gtest/gtest.h>

#include <thread>

#include "tests/testing/hex.h"

namespace coffer::crypto {
namespace {

std::string hex_of(ByteView bytes) { return base::to_hex(bytes); }

// FIPS 180-4; the values are those of NIST's examples.
TEST(Sha256, AgreesWithItsStandard) {
  EXPECT_EQ(hex_of(sha256({})), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  EXPECT_EQ(hex_of(sha256(as_bytes("abc"))), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  EXPECT_EQ(hex_of(sha256(as_bytes("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq"))),
            "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
}

TEST(Sha256, GivesTheSameForPartsAsForTheWhole) {
  const std::string text(1000, 'a');
  Sha256 hash;
  for (int round = 0; round < 2; ++round) {  // finish() begins anew.
    for (std::size_t at = 0; at < text.size(); at += 37) hash.update(as_bytes(std::string_view(text).substr(at, 37)));
    EXPECT_EQ(hash.finish(), sha256(as_bytes(text)));
  }
  Sha256 moved = std::move(hash);
  EXPECT_EQ(moved.finish(), sha256({}));
}

TEST(Sha256, WorksInSeveralThreads) {
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([i] {
      const std::string text(1000, static_cast<char>('a' + i));
      const Digest expected = sha256(as_bytes(text));
      for (int round = 0; round < 200; ++round) EXPECT_EQ(sha256(as_bytes(text)), expected);
    });
  }
  for (std::thread& thread : threads) thread.join();
}

// RFC 4231, test cases 1, 2 and 6.
TEST(HmacSha256, AgreesWithItsStandard) {
  EXPECT_EQ(hex_of(hmac_sha256(testing::hex("0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b"), as_bytes("Hi There"))),
            "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7");
  EXPECT_EQ(hex_of(hmac_sha256(as_bytes("Jefe"), as_bytes("what do ya want for nothing?"))),
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
  const std::string long_key(131, '\xaa');
  EXPECT_EQ(hex_of(hmac_sha256(as_bytes(long_key), as_bytes("Test Using Larger Than Block-Size Key - Hash Key First"))),
            "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54");
}

TEST(HmacSha256, TakesAnEmptyKey) {
  EXPECT_EQ(hex_of(hmac_sha256({}, {})), "b613679a0814d9ec772f95d778c35fc5ff1697c493715653c6c712144292c5ad");
}

TEST(EqualInConstantTime, ComparesLengthAndBytes) {
  EXPECT_TRUE(equal_in_constant_time(as_bytes("abc"), as_bytes("abc")));
  EXPECT_TRUE(equal_in_constant_time({}, {}));
  EXPECT_FALSE(equal_in_constant_time(as_bytes("abc"), as_bytes("abd")));
  EXPECT_FALSE(equal_in_constant_time(as_bytes("abc"), as_bytes("ab")));
}

}  // namespace
}  // namespace coffer::crypto
