#include "common/crypto/aead.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "common/crypto/aes_block.h"
#include "tests/testing/hex.h"

namespace coffer::crypto {
namespace {

using testing::hex;

AeadNonce nonce_of(std::string_view text) {
  AeadNonce nonce;
  const Bytes bytes = hex(text);
  std::copy(bytes.begin(), bytes.end(), nonce.begin());
  return nonce;
}

struct Vector {
  const char* key;
  const char* nonce;
  const char* associated;
  const char* plain;
  const char* sealed;
};

// Test cases 13, 14 and 16 of McGrew and Viega, "The Galois/Counter Mode of Operation", which NIST validates with.
constexpr Vector kVectors[] = {
    {"0000000000000000000000000000000000000000000000000000000000000000", "000000000000000000000000", "", "",
     "530f8afbc74536b9a963b4f1c4cb738b"},
    {"0000000000000000000000000000000000000000000000000000000000000000", "000000000000000000000000", "",
     "00000000000000000000000000000000", "cea7403d4d606b6e074ec5d3baf39d18 d0d1c8a799996bf0265b98b5d48ab919"},
    {"feffe9928665731c6d6a8f9467308308feffe9928665731c6d6a8f9467308308", "cafebabefacedbaddecaf888",
     "feedfacedeadbeeffeedfacedeadbeefabaddad2",
     "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a72"
     "1c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b39",
     "522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa"
     "8cb08e48590dbb3da7b08b1056828838c5f61e6393ba7a0abcc9f662 76fc6ece0f4e1768cddf8853bb2d551b"},
};

TEST(Aes256Gcm, AgreesWithItsStandard) {
  for (const Vector& vector : kVectors) {
    Aes256Gcm aead(hex(vector.key));
    const Bytes plain = hex(vector.plain);
    const Bytes associated = hex(vector.associated);
    Bytes sealed(plain.size() + kAeadTagBytes);
    aead.seal(nonce_of(vector.nonce), associated, plain, sealed);
    EXPECT_EQ(base::to_hex(sealed), base::to_hex(hex(vector.sealed)));

    Bytes opened(plain.size());
    EXPECT_TRUE(aead.open(nonce_of(vector.nonce), associated, sealed, opened));
    EXPECT_EQ(opened, plain);
  }
}

TEST(Aes256Gcm, SealsInPlaceAndIsUsedManyTimes) {
  Aes256Gcm aead(hex(kVectors[2].key));
  for (int i = 0; i < 100; ++i) {
    AeadNonce nonce{};
    nonce[0] = static_cast<std::byte>(i);
    Bytes bytes(1000 + kAeadTagBytes, static_cast<std::byte>(i));
    aead.seal(nonce, {}, ByteView(bytes).first(1000), bytes);
    ASSERT_TRUE(aead.open(nonce, {}, bytes, MutableByteView(bytes).first(1000)));
    EXPECT_TRUE(std::all_of(bytes.begin(), bytes.begin() + 1000, [&](std::byte b) { return b == std::byte(i); }));
  }
}

// Claim: no single bit of what is sealed or associated can change unnoticed, and nothing is handed out then.
TEST(Aes256Gcm, NoticesEveryFlippedBit) {
  Aes256Gcm aead(hex(kVectors[2].key));
  const AeadNonce nonce{};
  const std::string plain = "twenty-one bytes here";
  Bytes sealed(plain.size() + kAeadTagBytes);
  aead.seal(nonce, as_bytes("vault"), as_bytes(plain), sealed);
  Bytes opened(plain.size());
  for (std::size_t bit = 0; bit < sealed.size() * 8; ++bit) {
    Bytes bent = sealed;
    bent[bit / 8] ^= std::byte{1} << (bit % 8);
    const auto result = aead.open(nonce, as_bytes("vault"), bent, opened);
    ASSERT_FALSE(result) << "bit " << bit;
    EXPECT_EQ(result.error().fault, Fault::corrupt);
    EXPECT_EQ(opened, Bytes(plain.size(), std::byte{0}));
  }
  EXPECT_FALSE(aead.open(nonce, as_bytes("Vault"), sealed, opened));
  EXPECT_FALSE(aead.open(AeadNonce{std::byte{1}}, as_bytes("vault"), sealed, opened));
  EXPECT_TRUE(aead.open(nonce, as_bytes("vault"), sealed, opened));
}

// FIPS 197, appendix C.3.
TEST(Aes256Block, AgreesWithItsStandard) {
  Aes256Block cipher(hex("000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"));
  const Bytes plain = hex("00112233445566778899aabbccddeeff");
  for (const std::size_t count : {1u, 2u, 16u}) {
    std::vector<AesBlock> blocks(count);
    for (AesBlock& block : blocks) std::ranges::copy(plain, block.begin());
    cipher.encrypt(blocks);
    for (const AesBlock& block : blocks) EXPECT_EQ(base::to_hex(block), "8ea2b7ca516745bfeafc49904b496089");
  }
}

}  // namespace
}  // namespace coffer::crypto
