#include <gtest/gtest.h>

#include <algorithm>

#include "common/os/clock.h"
#include "common/os/random.h"

namespace coffer::os {
namespace {

TEST(Clock, GoesOn) {
  const SteadyTime before = real_clock().steady();
  while (real_clock().steady() == before) {
  }
  EXPECT_GT(real_clock().steady(), before);
  EXPECT_GT(real_clock().now(), WallTime(std::chrono::sys_days(std::chrono::year(2024) / 1 / 1)));
}

TEST(Random, FillsEveryByteAndNeverTheSame) {
  Bytes a(100'000, std::byte{0});
  Bytes b(100'000, std::byte{0});
  real_random().fill(a);
  real_random().fill(b);
  EXPECT_NE(a, b);
  EXPECT_LT(std::count(a.end() - 1000, a.end(), std::byte{0}), 100);
  real_random().fill({});
}

}  // namespace
}  // namespace coffer::os
