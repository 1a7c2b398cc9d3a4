#include "server/store/writer_pool.h"

#include <utility>

namespace coffer::store {

WriterPool::WriterPool(unsigned thread_count) : free_count_(thread_count) {
  for (unsigned i = 0; i < thread_count; ++i) threads_.emplace_back([this] { loop(); });
}

WriterPool::~WriterPool() {
  {
    const MutexLock lock(mutex_);
    stopping_ = true;
  }
  wake_.notify_all();
  for (std::thread& thread : threads_) thread.join();
}

void WriterPool::run(std::function<void()> work) {
  {
    const MutexLock lock(mutex_);
    work_.push_back(std::move(work));
  }
  wake_.notify_one();
}

bool WriterPool::run_if_idle(std::function<void()> work) {
  {
    const MutexLock lock(mutex_);
    if (work_.size() >= free_count_) return false;
    work_.push_back(std::move(work));
  }
  wake_.notify_one();
  return true;
}

void WriterPool::loop() {
  for (;;) {
    std::function<void()> work;
    {
      const MutexLock lock(mutex_);
      while (work_.empty() && !stopping_) wake_.wait(mutex_);
      if (work_.empty()) return;
      work = std::move(work_.front());
      work_.pop_front();
      --free_count_;
    }
    work();
    const MutexLock lock(mutex_);
    ++free_count_;
  }
}

}  // namespace coffer::store
