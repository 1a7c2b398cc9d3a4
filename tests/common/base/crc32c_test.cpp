#include "common/base/crc32c.h"

#include <gtest/gtest.h>

#include <array>

namespace coffer {
namespace {

// RFC 3720, appendix B.4.
TEST(Crc32c, AgreesWithItsStandard) {
  std::array<std::byte, 32> bytes{};
  EXPECT_EQ(crc32c(bytes), 0x8a9136aau);
  bytes.fill(std::byte{0xff});
  EXPECT_EQ(crc32c(bytes), 0x62a8ab43u);
  for (std::size_t i = 0; i < 32; ++i) bytes[i] = static_cast<std::byte>(i);
  EXPECT_EQ(crc32c(bytes), 0x46dd794eu);
  EXPECT_EQ(crc32c({}), 0u);
}

TEST(Crc32c, IsTheSameWithoutTheProcessorsInstruction) {
  Bytes bytes;
  for (std::size_t i = 0; i < 100; ++i) {
    EXPECT_EQ(internal::crc32c_from_table(bytes), crc32c(bytes)) << i << " bytes";
    bytes.push_back(static_cast<std::byte>(i * 37));
  }
}

}  // namespace
}  // namespace coffer
