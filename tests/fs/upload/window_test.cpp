#include "fs/upload/window.h"

#include <gtest/gtest.h>

namespace coffer::upload {
namespace {

using namespace std::chrono_literals;

constexpr std::size_t kChunk = 1u << 20;

TEST(Window, GrowsToItsBoundWhileAnswersComeQuickly) {
  Window window;
  for (int i = 0; i < 1000; ++i) window.acknowledged(kChunk, 40ms);
  EXPECT_EQ(window.bytes(), kWindowBytesMax);
}

TEST(Window, ShrinksWhenChunksOnlyWaitInAQueueButNotBelowTwoChunks) {
  Window window;
  window.acknowledged(kChunk, 100ms);
  const std::size_t before = window.bytes();
  for (int i = 0; i < 20; ++i) window.acknowledged(kChunk, 5s);
  EXPECT_LT(window.bytes(), before);
  for (int i = 0; i < 5000; ++i) window.acknowledged(kChunk, std::chrono::hours(1) * (i + 1));
  EXPECT_GE(window.bytes(), kWindowBytesMin);
}

TEST(Window, HalvesWhenAConnectionBreaks) {
  Window window;
  const std::size_t before = window.bytes();
  window.failed();
  EXPECT_EQ(window.bytes(), before / 2);
  for (int i = 0; i < 20; ++i) window.failed();
  EXPECT_EQ(window.bytes(), kWindowBytesMin);
}

}  // namespace
}  // namespace coffer::upload
