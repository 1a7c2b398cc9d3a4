#include "fs/ops/first_reads.h"

#include <gtest/gtest.h>

#include "tests/testing/eventually.h"

namespace coffer::ops {
namespace {

using namespace std::chrono_literals;

constexpr InodeId kFile{7};

TEST(FirstReads, StopAFirstQuestionWhenItsTimeIsOver) {
  FirstReads reads(1ms);
  const std::stop_source first;
  const std::stop_source other;
  const FirstReads::Limit limit(reads, first);
  const FirstReads::Limit other_limit(reads, other);
  EXPECT_TRUE(testing::eventually([&] { return first.stop_requested() && other.stop_requested(); }));
}

TEST(FirstReads, LeaveAloneWhatWasAnsweredInTime) {
  FirstReads reads(20ms);
  const std::stop_source answered;
  { const FirstReads::Limit limit(reads, answered); }
  const std::stop_source late;
  const FirstReads::Limit limit(reads, late);
  EXPECT_TRUE(testing::eventually([&] { return late.stop_requested(); }));
  EXPECT_FALSE(answered.stop_requested());
}

TEST(FirstReads, KnowASecondQuestionByFileAndPlaceAndOnlyOnce) {
  FirstReads reads;
  EXPECT_FALSE(reads.is_second(kFile, 4096));
  reads.failed(kFile, {4096, 8192});
  EXPECT_FALSE(reads.is_second(InodeId(8), 4096));
  EXPECT_FALSE(reads.is_second(kFile, 0));
  EXPECT_FALSE(reads.is_second(kFile, 8192));
  EXPECT_TRUE(reads.is_second(kFile, 8191));
  EXPECT_FALSE(reads.is_second(kFile, 8191));
}

}  // namespace
}  // namespace coffer::ops
