#include "common/codec/codec.h"

#include <gtest/gtest.h>

#include <string>
#include <thread>

#include "tests/testing/hex.h"
#include "tests/testing/seeded_random.h"

namespace coffer::codec {
namespace {

struct Codec {
  const char* name;
  std::size_t (*compress)(ByteView, int, MutableByteView);
  Result<void> (*decompress)(ByteView, MutableByteView);
  int level_min;
  int level_max;
};

class Compression : public ::testing::TestWithParam<Codec> {};

INSTANTIATE_TEST_SUITE_P(Of, Compression,
                         ::testing::Values(Codec{"Zstd", zstd_compress, zstd_decompress, -7, 19},
                                           Codec{"Zlib", zlib_compress, zlib_decompress, 1, 9}),
                         [](const auto& codec) { return codec.param.name; });

Bytes text_of(std::size_t bytes) {
  testing::SeededRandom random(1);
  std::string text;
  while (text.size() < bytes) text += "line " + std::to_string(random.below(1000)) + '\n';
  return copy_of(as_bytes(text).first(bytes));
}

Bytes packed(const Codec& codec, ByteView plain, int level) {
  Bytes into(plain.size() * 2 + 100);
  into.resize(codec.compress(plain, level, into));
  EXPECT_FALSE(into.empty());
  return into;
}

TEST_P(Compression, ComesBackAtEveryLevelAndSize) {
  for (int level = GetParam().level_min; level <= GetParam().level_max; ++level) {
    for (const std::size_t bytes : {std::size_t{0}, std::size_t{1}, std::size_t{1000}, std::size_t{128} << 10}) {
      SCOPED_TRACE(::testing::Message() << "level " << level << ", " << bytes << " bytes");
      const Bytes plain = text_of(bytes);
      const Bytes frame = packed(GetParam(), plain, level);
      if (bytes >= 1000) {
        EXPECT_LT(frame.size(), bytes);
      }
      Bytes back(bytes);
      ASSERT_TRUE(GetParam().decompress(frame, back));
      EXPECT_EQ(back, plain);
    }
  }
}

TEST_P(Compression, SaysZeroWhereTheResultDoesNotFit) {
  const Bytes plain = text_of(10'000);
  const Bytes frame = packed(GetParam(), plain, 3);
  Bytes exact(frame.size());
  Bytes short_by_one(frame.size() - 1);
  EXPECT_LE(GetParam().compress(plain, 3, exact), frame.size());
  EXPECT_EQ(GetParam().compress(plain, 3, short_by_one), 0u);
  EXPECT_EQ(GetParam().compress(plain, 3, {}), 0u);
  testing::SeededRandom random(2);
  Bytes same_size(10'000);
  EXPECT_EQ(GetParam().compress(random.bytes(10'000), 3, same_size), 0u);
}

TEST_P(Compression, IsRefusedAtEveryTruncationAndWithBytesBehindIt) {
  const Bytes plain = text_of(2'000);
  Bytes frame = packed(GetParam(), plain, 3);
  Bytes back(plain.size());
  for (std::size_t size = 0; size < frame.size(); ++size) {
    const Result<void> result = GetParam().decompress(ByteView(frame).first(size), back);
    ASSERT_FALSE(result) << size;
    EXPECT_EQ(result.error().fault, Fault::corrupt);
  }
  Bytes behind = frame;
  behind.push_back(std::byte{0});
  EXPECT_FALSE(GetParam().decompress(behind, back));
  Bytes twice = frame;
  append(twice, frame);
  Bytes back_twice(plain.size() * 2);
  EXPECT_FALSE(GetParam().decompress(twice, back_twice));
  EXPECT_TRUE(GetParam().decompress(frame, back));  // A failure leaves the thread's context usable.
}

TEST_P(Compression, IsRefusedWhereItGivesAnotherSize) {
  const Bytes plain = text_of(2'000);
  const Bytes frame = packed(GetParam(), plain, 3);
  for (const std::size_t size : {std::size_t{0}, std::size_t{1'999}, std::size_t{2'001}}) {
    Bytes back(size);
    EXPECT_EQ(GetParam().decompress(frame, back).error().fault, Fault::corrupt) << size;
  }
}

TEST_P(Compression, SurvivesAnyBytes) {
  testing::SeededRandom random(3);
  const Bytes frame = packed(GetParam(), text_of(2'000), 3);
  Bytes back(2'000);
  for (int i = 0; i < 2'000; ++i) {
    Bytes bent = frame;
    bent[random.below(bent.size())] ^= static_cast<std::byte>(1 + random.below(255));
    (void)GetParam().decompress(bent, back);
    (void)GetParam().decompress(random.bytes(random.below(50)), back);
  }
}

TEST_P(Compression, WorksInSeveralThreads) {
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([i, codec = GetParam()] {
      const Bytes plain = text_of(1'000 + static_cast<std::size_t>(i) * 100);
      for (int round = 0; round < 50; ++round) {
        Bytes back(plain.size());
        EXPECT_TRUE(codec.decompress(packed(codec, plain, 1 + round % 9), back));
        EXPECT_EQ(back, plain);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
}

TEST(Zstd, RefusesASkippableFrame) { EXPECT_FALSE(zstd_decompress(testing::hex("502a4d18 03000000 000000"), {})); }

}  // namespace
}  // namespace coffer::codec
