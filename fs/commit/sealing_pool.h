// Threads that seal, so that the chunks of one file use all cores.
#pragma once

#include <cstddef>
#include <deque>
#include <functional>
#include <thread>
#include <vector>

#include "common/base/mutex.h"

namespace coffer::commit {

/// Thread-safe. At most twice as many tasks wait as there are threads: that bounds the plain chunks in memory.
class SealingPool {
 public:
  /// 0: one thread for each core.
  explicit SealingPool(unsigned thread_count);
  /// Finishes all tasks.
  ~SealingPool();

  /// Blocks until a place in the queue is free. `task` takes part in no lock that its caller holds.
  void run(std::function<void()> task);

 private:
  void work();

  Mutex mutex_;
  Condition has_task_;
  Condition has_room_;
  std::deque<std::function<void()>> tasks_ GUARDED_BY(mutex_);
  bool stopping_ GUARDED_BY(mutex_) = false;
  std::size_t tasks_max_;
  std::vector<std::thread> threads_;
};

}  // namespace coffer::commit
