#include "fs/commit/sealing_pool.h"

#include <algorithm>
#include <utility>

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
  changed_.notify_all();
  for (std::thread& thread : threads_) thread.join();
}

void SealingPool::run(std::function<void()> task) {
  {
    const MutexLock lock(mutex_);
    while (tasks_.size() >= tasks_max_) changed_.wait(mutex_);
    tasks_.push_back(std::move(task));
  }
  changed_.notify_all();
}

void SealingPool::work() {
  for (;;) {
    std::function<void()> task;
    {
      const MutexLock lock(mutex_);
      while (tasks_.empty() && !stopping_) changed_.wait(mutex_);
      if (tasks_.empty()) return;
      task = std::move(tasks_.front());
      tasks_.pop_front();
    }
    changed_.notify_all();
    task();
  }
}

}  // namespace coffer::commit
