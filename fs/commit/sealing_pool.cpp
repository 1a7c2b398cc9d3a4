#include "fs/commit/sealing_pool.h"

#include <algorithm>
#include <utility>

#include "common/os/long_wait.h"

namespace coffer::commit {

SealingPool::SealingPool(unsigned thread_count) {
  if (thread_count == 0) thread_count = std::max(1u, std::thread::hardware_concurrency());
  tasks_max_ = std::size_t{2} * thread_count;
  for (unsigned i = 0; i < thread_count; ++i) threads_.emplace_back([this] { work(); });
}

SealingPool::~SealingPool() {
  {
    const MutexLock lock(mutex_);
    stopping_ = true;
  }
  has_task_.notify_all();
  for (std::thread& thread : threads_) thread.join();
}

void SealingPool::run(std::function<void()> task) {
  {
    const MutexLock lock(mutex_);
    while (tasks_.size() >= tasks_max_) {
      os::begin_long_wait();
      has_room_.wait(mutex_);
    }
    tasks_.push_back(std::move(task));
  }
  has_task_.notify_one();
}

void SealingPool::work() {
  for (;;) {
    std::function<void()> task;
    {
      const MutexLock lock(mutex_);
      while (tasks_.empty() && !stopping_) has_task_.wait(mutex_);
      if (tasks_.empty()) return;
      task = std::move(tasks_.front());
      tasks_.pop_front();
    }
    has_room_.notify_one();
    task();
  }
}

}  // namespace coffer::commit
