#include "common/pack/crc32c.h"

#include <gtest/gtest.h>

#include <array>

namespace coffer::pack {
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

}  // namespace
}  // namespace coffer::pack
