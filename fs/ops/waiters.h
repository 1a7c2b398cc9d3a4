// Threads for requests that wait for the server: fsync, the barrier, a whole file's hash.
#pragma once

#include <cstddef>
#include <deque>
#include <functional>
#include <thread>
#include <vector>

#include "common/base/mutex.h"

namespace coffer::ops {

/// Thread-safe. As many threads as there are tasks at once, up to kThreadsMax; beyond it tasks wait their turn.
class Waiters {
 public:
  static constexpr std::size_t kThreadsMax = 256;
  static constexpr std::size_t kIdleMax = 4;

  Waiters() = default;
  ~Waiters() { stop(); }
  Waiters(const Waiters&) = delete;
  Waiters& operator=(const Waiters&) = delete;

  /// `task` must not throw. After stop() it runs at once, on the caller's thread.
  void run(std::function<void()> task);
  /// Finishes all tasks and ends the threads.
  void stop();

 private:
  void work();

  Mutex mutex_;
  Condition changed_;
  std::deque<std::function<void()>> tasks_ GUARDED_BY(mutex_);
  std::size_t threads_ GUARDED_BY(mutex_) = 0;
  std::size_t idle_ GUARDED_BY(mutex_) = 0;
  std::vector<std::thread> running_ GUARDED_BY(mutex_);
  std::vector<std::thread> ended_ GUARDED_BY(mutex_);  ///< To be joined by whoever comes next.
  bool stopping_ GUARDED_BY(mutex_) = false;
};

}  // namespace coffer::ops
