#include "fs/ops/readers.h"

#include <gtest/gtest.h>

#include <atomic>
#include <thread>
#include <vector>

namespace coffer::ops {
namespace {

// Claim: never more than two wait for a request, and whoever waits for his turn gets it. Method: threads that take a
// thousand turns each; the test ends if all of them come to their end.
TEST(Readers, AreTwoAtATimeAndAllComeToTheirTurn) {
  Readers readers;
  ASSERT_TRUE(readers.open());
  std::atomic<int> inside = 0, most = 0, turns = 0;
  std::vector<std::thread> threads;
  for (int i = 0; i < 8; ++i) {
    threads.emplace_back([&] {
      for (int turn = 0; turn < 1000; ++turn) {
        readers.enter();
        const int now = ++inside;
        for (int known = most; known < now && !most.compare_exchange_weak(known, now);) {
        }
        std::this_thread::yield();
        --inside;
        readers.leave();
        ++turns;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_LE(most, 2);
  EXPECT_EQ(turns, 8000);
}

}  // namespace
}  // namespace coffer::ops
