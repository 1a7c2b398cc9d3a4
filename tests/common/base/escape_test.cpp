#include "common/base/escape.h"

#include <gtest/gtest.h>

namespace coffer::base {
namespace {

TEST(EscapedText, SteersNoTerminalAndEndsNoLine) {
  EXPECT_EQ(escaped("a\nb\r\tc"), "a\\nb\\r\\tc");
  EXPECT_EQ(escaped("\x1b]0;owned\x07\x7f"), "\\x1b]0;owned\\x07\\x7f");
  EXPECT_EQ(escaped(std::string_view("\0", 1)), "\\x00");
  EXPECT_EQ(escaped("\xc2\x9b"
                    "31m"),
            "\\xc2\\x9b31m")
      << "CSI as one character of C1";
  EXPECT_EQ(escaped("\x9b"
                    "31m"),
            "\\x9b31m")
      << "CSI as a byte";
}

TEST(EscapedText, KeepsEveryOtherCharacter) {
  for (const char* text : {"", "a b.txt", "caf\xc3\xa9", "\xc2\xa0", "\xe6\x97\xa5\xe6\x9c\xac", "\xf0\x9f\x93\xb7"}) {
    EXPECT_EQ(escaped(text), text);
  }
}

TEST(EscapedText, ShowsTheBytesOfWhatIsNoUtf8) {
  EXPECT_EQ(escaped("caf\xe9"), "caf\\xe9");
  EXPECT_EQ(escaped("\xc3"), "\\xc3") << "cut off";
  EXPECT_EQ(escaped("\xc0\xaf"), "\\xc0\\xaf") << "longer than needed";
  EXPECT_EQ(escaped("\xe0\x80\x9b"), "\\xe0\\x80\\x9b") << "C1 in a longer form";
  EXPECT_EQ(escaped("\xed\xa0\x80"), "\\xed\\xa0\\x80") << "half of a pair of UTF-16";
  EXPECT_EQ(escaped("\xf4\x90\x80\x80"), "\\xf4\\x90\\x80\\x80") << "beyond Unicode";
}

TEST(EscapedText, LooksLikeNoOtherText) {
  EXPECT_EQ(escaped("a\\x1b"), "a\\\\x1b");
  EXPECT_EQ(escaped("a\\x1b", ""), "a\\x1b") << "unless told so";
}

}  // namespace
}  // namespace coffer::base
