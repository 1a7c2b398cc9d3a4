#include "common/base/text.h"

#include <gtest/gtest.h>

namespace coffer::base {
namespace {

std::string text_of(const Result<Bytes>& bytes) { return bytes ? std::string(as_text(*bytes)) : "refused"; }

TEST(Hex, ComesBackInEitherCase) {
  EXPECT_EQ(to_hex(as_bytes("\x01\xab\xff")), "01abff");
  EXPECT_EQ(text_of(from_hex("01AbfF")), "\x01\xab\xff");
  EXPECT_EQ(text_of(from_hex("")), "");
}

TEST(Hex, RefusesWhatIsNoHexadecimal) {
  for (const char* text : {"0", "0g", " 00", "0x00", "00 "}) EXPECT_EQ(from_hex(text).error().fault, Fault::corrupt);
}

// RFC 4648, section 10.
TEST(Base32, AgreesWithItsStandard) {
  const std::pair<const char*, const char*> vectors[] = {{"", ""},
                                                         {"f", "MY"},
                                                         {"fo", "MZXQ"},
                                                         {"foo", "MZXW6"},
                                                         {"foob", "MZXW6YQ"},
                                                         {"fooba", "MZXW6YTB"},
                                                         {"foobar", "MZXW6YTBOI"}};
  for (const auto& [plain, encoded] : vectors) {
    EXPECT_EQ(to_base32(as_bytes(plain)), encoded);
    EXPECT_EQ(text_of(from_base32(encoded)), plain);
  }
}

TEST(Base32, SkipsWhatAPersonTypesBetweenTheLetters) { EXPECT_EQ(text_of(from_base32("mzxw-6YTB oi")), "foobar"); }

TEST(Base32, RefusesOtherLettersLengthsAndBits) {
  // A 1, which is no letter of it; lengths that no bytes have; bits behind the last byte.
  for (const char* text : {"MZXW1", "M", "MZX", "MZXW6Y", "MZ", "=", "MY======"}) {
    EXPECT_EQ(from_base32(text).error().fault, Fault::corrupt) << text;
  }
}

TEST(Size, IsReadAsAPersonWritesIt) {
  const std::pair<const char*, std::uint64_t> sizes[] = {{"0", 0},
                                                         {"512", 512},
                                                         {"512B", 512},
                                                         {"64K", 65'536},
                                                         {"64k", 65'536},
                                                         {"1.5M", 1'572'864},
                                                         {"100G", 107'374'182'400},
                                                         {"2TiB", 2'199'023'255'552},
                                                         {"1GB", 1'073'741'824},
                                                         {"7P", std::uint64_t{7} << 50}};
  for (const auto& [text, bytes] : sizes) {
    const Result<std::uint64_t> parsed = parse_size(text);
    ASSERT_TRUE(parsed) << text;
    EXPECT_EQ(*parsed, bytes) << text;
  }
}

TEST(Size, RefusesWhatIsNone) {
  for (const char* text : {"", "G", "-1", "1X", "1Gi B", "1GG", "1e99999", "99999999P", "nan", "inf", "1 G"}) {
    EXPECT_FALSE(parse_size(text)) << text;
  }
}

TEST(Size, IsWrittenForAPerson) {
  EXPECT_EQ(format_size(0), "0 B");
  EXPECT_EQ(format_size(1023), "1023 B");
  EXPECT_EQ(format_size(1536), "1.5 KiB");
  EXPECT_EQ(format_size(std::uint64_t{2} << 30), "2.0 GiB");
  EXPECT_EQ(format_size(~std::uint64_t{0}), "16.0 EiB");
}

TEST(Seconds, AreReadWithTheirUnit) {
  EXPECT_EQ(*parse_seconds("90"), 90u);
  EXPECT_EQ(*parse_seconds("90s"), 90u);
  EXPECT_EQ(*parse_seconds("15m"), 900u);
  EXPECT_EQ(*parse_seconds("24h"), 86'400u);
  EXPECT_EQ(*parse_seconds("7d"), 604'800u);
  for (const char* text : {"", "h", "-1s", "1w", "1 h", "999999999999d", "nan", "inf"})
    EXPECT_FALSE(parse_seconds(text)) << text;
}

}  // namespace
}  // namespace coffer::base
