#include "fs/seal/padme.h"

#include <gtest/gtest.h>

#include <set>

namespace coffer::seal {
namespace {

TEST(Padme, AddsAtMostTwelvePerCentAndNeverTakesAway) {
  for (std::uint64_t bytes = 0; bytes <= 1u << 20; ++bytes) {
    const std::uint64_t padded = padme(bytes);
    ASSERT_GE(padded, bytes);
    ASSERT_LE(static_cast<double>(padded), 1.12 * static_cast<double>(bytes)) << bytes;
  }
  EXPECT_LE(padme((1u << 20) + 1), 1.032 * (1u << 20));
}

TEST(Padme, NeverFallsAsLengthsGrow) {
  for (std::uint64_t bytes = 1; bytes <= 1u << 20; ++bytes) ASSERT_LE(padme(bytes - 1), padme(bytes)) << bytes;
}

TEST(Padme, IsPaddedAlready) {
  for (std::uint64_t bytes = 0; bytes <= 1u << 18; ++bytes) ASSERT_EQ(padme(padme(bytes)), padme(bytes));
}

TEST(Padme, LeavesFewLengthsToTellApart) {
  std::set<std::uint64_t> lengths;
  for (std::uint64_t bytes = 1u << 19; bytes <= 1u << 20; ++bytes) lengths.insert(padme(bytes));
  EXPECT_LE(lengths.size(), 33u);
}

// Computed by hand: 1000 = 0b1111101000 has exponent 9, so four digits count behind the first, and 32 is the step.
TEST(Padme, RoundsAsThePaperSays) {
  EXPECT_EQ(padme(0), 0);
  EXPECT_EQ(padme(1), 1);
  EXPECT_EQ(padme(9), 10);
  EXPECT_EQ(padme(1000), 1024);
  EXPECT_EQ(padme(1025), 1088);
  EXPECT_EQ(padme((1u << 20) + 1), (1u << 20) + (1u << 15));
}

}  // namespace
}  // namespace coffer::seal
