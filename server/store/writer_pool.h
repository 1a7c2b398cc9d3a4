// A few threads on which the stores of all vaults write.
#pragma once

#include <deque>
#include <functional>
#include <thread>
#include <vector>

#include "common/base/mutex.h"

namespace coffer::store {

/// Thread-safe. The destructor runs what was given to it and joins.
class WriterPool {
 public:
  explicit WriterPool(unsigned thread_count);
  ~WriterPool();
  WriterPool(const WriterPool&) = delete;
  WriterPool& operator=(const WriterPool&) = delete;

  /// Runs `work` once. A store asks at most once at a time, so what waits here is bounded by their number.
  void run(std::function<void()> work);
  /// The same where a thread is free for it, and true. Else false, and `work` is not run.
  bool run_if_idle(std::function<void()> work);

 private:
  void loop();

  Mutex mutex_;
  Condition wake_;
  std::deque<std::function<void()>> work_ GUARDED_BY(mutex_);
  std::size_t free_count_ GUARDED_BY(mutex_);  ///< Threads that run no work.
  bool stopping_ GUARDED_BY(mutex_) = false;
  std::vector<std::thread> threads_;
};

}  // namespace coffer::store
