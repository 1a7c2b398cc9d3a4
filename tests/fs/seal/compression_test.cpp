#include "fs/seal/compression.h"

#include <gtest/gtest.h>

#include <cerrno>

namespace coffer::seal {
namespace {

using Codec = Compression::Codec;

TEST(CompressionOption, IsReadFromItsText) {
  EXPECT_EQ(parse_compression("none").value(), (Compression{Codec::none, 0}));
  EXPECT_EQ(parse_compression("auto").value(), (Compression{Codec::automatic, 0}));
  EXPECT_EQ(parse_compression("zstd").value(), (Compression{Codec::zstd, 3}));
  EXPECT_EQ(parse_compression("zstd:19").value(), (Compression{Codec::zstd, 19}));
  EXPECT_EQ(parse_compression("zstd:-7").value(), (Compression{Codec::zstd, -7}));
  EXPECT_EQ(parse_compression("zlib").value(), (Compression{Codec::zlib, 6}));
  EXPECT_EQ(parse_compression("zlib:1").value(), (Compression{Codec::zlib, 1}));
  EXPECT_EQ(parse_compression("zlib:9").value(), (Compression{Codec::zlib, 9}));
}

TEST(CompressionOption, IsWrittenAsItIsRead) {
  for (const char* text : {"none", "auto", "zstd:3", "zstd:-7", "zlib:6"}) {
    EXPECT_EQ(to_text(parse_compression(text).value()), text);
  }
}

TEST(CompressionOption, IsRefusedWithASentenceThatSaysWhatWouldDo) {
  const auto what = [](std::string_view text) {
    const Result<Compression> parsed = parse_compression(text);
    EXPECT_FALSE(parsed) << text;
    if (parsed) return std::string();
    EXPECT_EQ(parsed.error().fault, Fault::refused);
    EXPECT_EQ(parsed.error().code, EINVAL);
    return parsed.error().what;
  };
  for (const char* text : {"", "gzip", "ZSTD", "zstd3", " zstd"}) {
    EXPECT_NE(what(text).find("use auto, none, zstd"), std::string::npos) << what(text);
  }
  for (const char* text :
       {"zlib:0", "zlib:10", "zlib:", "zlib:6x", "zlib:-1", "zlib:+6", "zlib: 6", "zlib:99999999999"}) {
    EXPECT_NE(what(text).find("from 1 to 9, as in zlib:6"), std::string::npos) << what(text);
  }
  for (const char* text : {"zstd:0", "zstd:20", "zstd:-8", "zstd:", "zstd:3:3"}) {
    EXPECT_NE(what(text).find("from -7 to 19 without 0, as in zstd:3"), std::string::npos) << what(text);
  }
  EXPECT_EQ(what("none:1"), "compression none has no levels");
  EXPECT_EQ(what("auto:1"), "compression auto has no levels");
}

}  // namespace
}  // namespace coffer::seal
