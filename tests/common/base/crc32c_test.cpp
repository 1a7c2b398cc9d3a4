#include "common/base/crc32c.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <vector>

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

TEST(Crc32c, OfBlocksIsThatOfEachBlock) {
  for (const std::size_t block_bytes : {1u, 7u, 8u, 13u, 64u}) {
    Bytes bytes;
    for (std::size_t i = 0; i < 500; ++i) {
      std::vector<std::uint32_t> expected;
      for (ByteView rest = bytes; !rest.empty(); rest = rest.subspan(std::min(rest.size(), block_bytes))) {
        expected.push_back(internal::crc32c_from_table(rest.first(std::min(rest.size(), block_bytes))));
      }
      EXPECT_EQ(crc32c_of_blocks(bytes, block_bytes), expected) << i << " bytes in blocks of " << block_bytes;
      bytes.push_back(static_cast<std::byte>(i * 37));
    }
  }
}

}  // namespace
}  // namespace coffer
