#include "fs/ops/waiters.h"

#include <gtest/gtest.h>

#include <atomic>
#include <latch>

#include "tests/testing/eventually.h"

namespace coffer::ops {
namespace {

TEST(Waiters, RunTasksBesideOthersThatWait) {
  Waiters waiters;
  std::latch all(100);
  std::atomic<int> done = 0;
  for (int i = 0; i < 100; ++i) {
    waiters.run([&] {
      all.arrive_and_wait();  // Ends only if all hundred run at once.
      ++done;
    });
  }
  EXPECT_TRUE(testing::eventually([&] { return done == 100; }));
}

TEST(Waiters, TakeTasksAgainAfterTheirThreadsHaveEnded) {
  Waiters waiters;
  std::atomic<int> done = 0;
  for (int round = 1; round <= 5; ++round) {
    for (int i = 0; i < 20; ++i) waiters.run([&] { ++done; });
    EXPECT_TRUE(testing::eventually([&] { return done == 20 * round; }));
  }
}

TEST(Waiters, FinishEveryTaskThatTheyTookBeforeTheyStop) {
  std::atomic<int> done = 0;
  {
    Waiters waiters;
    for (std::size_t i = 0; i < 2 * Waiters::kThreadsMax; ++i) waiters.run([&] { ++done; });
  }
  EXPECT_EQ(done, static_cast<int>(2 * Waiters::kThreadsMax));
}

TEST(Waiters, RunATaskAtOnceWhenTheyHaveStopped) {
  Waiters waiters;
  waiters.stop();
  bool ran = false;
  waiters.run([&] { ran = true; });
  EXPECT_TRUE(ran);
}

}  // namespace
}  // namespace coffer::ops
