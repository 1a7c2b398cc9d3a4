#include "common/crypto/kdf.h"

#include <gtest/gtest.h>

#include "tests/testing/hex.h"

namespace coffer::crypto {
namespace {

using testing::hex;

std::string hkdf(std::string_view key, std::string_view salt, std::string_view info, std::size_t bytes) {
  Bytes into(bytes);
  hkdf_sha256(hex(key), hex(salt), hex(info), into);
  return base::to_hex(into);
}

// RFC 5869, appendices A.1, A.2 and A.3.
TEST(Hkdf, AgreesWithItsStandard) {
  EXPECT_EQ(
      hkdf("0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b", "000102030405060708090a0b0c", "f0f1f2f3f4f5f6f7f8f9", 42),
      "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865");
  EXPECT_EQ(hkdf("0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b", "", "", 42),
            "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d9d201395faa4b61a96c8");
}

std::string scrypt_hex(std::string_view passphrase, std::string_view salt, const ScryptCost& cost) {
  const Result<Secret> key = scrypt(as_bytes(passphrase), as_bytes(salt), cost);
  return key ? base::to_hex(key->bytes()) : key.error().what;
}

// RFC 7914, section 12; a key of 32 bytes is the first half of the 64 that stand there.
TEST(Scrypt, AgreesWithItsStandard) {
  EXPECT_EQ(scrypt_hex("", "", {.n = 16, .r = 1, .p = 1}),
            "77d6576238657b203b19ca42c18a0497f16b4844e3074ae8dfdffa3fede21442");
  EXPECT_EQ(scrypt_hex("password", "NaCl", {.n = 1024, .r = 8, .p = 16}),
            "fdbabe1c9d3472007856e7190d01e9fe7c6ad7cbc8237830e77376634b373162");
  EXPECT_EQ(scrypt_hex("pleaseletmein", "SodiumChloride", {.n = 16384, .r = 8, .p = 1}),
            "7023bdcb3afd7348461c06cd81fd38ebfda8fbba904f8e3ea9b543f6545da1f2");
}

TEST(Scrypt, RefusesCostsThatNobodyShouldPay) {
  const ScryptCost bad[] = {{.n = 0},
                            {.n = 1},
                            {.n = 1000},
                            {.n = 1u << 21, .r = 8},
                            {.n = std::uint64_t{1} << 63},
                            {.n = 16, .r = 0},
                            {.n = 2, .r = 1u << 31},
                            {.n = 1u << 16, .r = 1},
                            {.n = 16, .r = 1, .p = 0},
                            {.n = 16, .r = 1, .p = 17}};
  for (const ScryptCost& cost : bad) {
    const Result<Secret> key = scrypt(as_bytes("x"), as_bytes("y"), cost);
    ASSERT_FALSE(key) << cost.n << " " << cost.r << " " << cost.p;
    EXPECT_EQ(key.error().fault, Fault::corrupt);
  }
}

TEST(Scrypt, AcceptsItsDefaultCost) { EXPECT_TRUE(scrypt(as_bytes("x"), as_bytes("y"), {})); }

}  // namespace
}  // namespace coffer::crypto
