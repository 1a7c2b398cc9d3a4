#include "server/service/disk_threads.h"

#include <gtest/gtest.h>

#include <future>

#include "common/base/mutex.h"
#include "tests/testing/eventually.h"

namespace coffer::service {
namespace {

object::ClientId client(unsigned char number) {
  std::array<std::byte, object::ClientId::kSize> bytes{};
  bytes[0] = std::byte{number};
  return object::ClientId(bytes);
}

TEST(DiskThreads, DoAllThatTheyAreGiven) {
  std::atomic<int> done = 0;
  {
    DiskThreads threads(3);
    for (int i = 0; i < 1000; ++i) threads.run(client(static_cast<unsigned char>(i % 7)), [&] { ++done; });
  }
  EXPECT_EQ(done, 1000);
}

// Claim: who asks for much does not delay who asks for little: work of a second client begins while the first one's
// is stuck, however much of it there is.
TEST(DiskThreads, KeepOneFreeForOthers) {
  std::promise<void> let_go;
  const std::shared_future<void> gate = let_go.get_future().share();
  std::atomic<int> stuck = 0;
  std::atomic<bool> served = false;
  DiskThreads threads(4);
  for (int i = 0; i < 100; ++i) {
    threads.run(client(1), [&, gate] {
      ++stuck;
      gate.wait();
    });
  }
  ASSERT_TRUE(testing::eventually([&] { return stuck == 3; }));
  threads.run(client(2), [&] { served = true; });
  EXPECT_TRUE(testing::eventually([&] { return served.load(); }));
  EXPECT_EQ(stuck, 3);
  let_go.set_value();
}

TEST(DiskThreads, LetClientsTakeTurns) {
  Mutex mutex;
  std::vector<int> order;
  {
    DiskThreads threads(2);
    std::promise<void> let_go;
    const std::shared_future<void> gate = let_go.get_future().share();
    std::atomic<int> stuck = 0;
    for (const unsigned char holder : {static_cast<unsigned char>(8),
                                       static_cast<unsigned char>(9)}) {  // Both threads are busy until all is queued.
      threads.run(client(holder), [&, gate] {
        ++stuck;
        gate.wait();
      });
    }
    ASSERT_TRUE(testing::eventually([&] { return stuck == 2; }));
    const auto note = [&](int who) {
      return [&mutex, &order, who] {
        const MutexLock lock(mutex);
        order.push_back(who);
      };
    };
    for (int i = 0; i < 100; ++i) threads.run(client(1), note(1));
    for (int i = 0; i < 3; ++i) threads.run(client(2), note(2));
    let_go.set_value();
  }
  ASSERT_EQ(order.size(), 103u);
  const auto last_of_second = std::find(order.rbegin(), order.rend(), 2);
  EXPECT_LT(order.rend() - last_of_second, 15) << "the second client's three did not wait for the first one's hundred";
}

}  // namespace
}  // namespace coffer::service
