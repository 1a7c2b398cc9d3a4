#include "server/service/disk_threads.h"

#include <algorithm>
#include <utility>

#include "common/base/check.h"

namespace coffer::service {

DiskThreads::DiskThreads(unsigned thread_count) : running_max_(thread_count - 1) {
  COFFER_CHECK(thread_count >= 2);
  for (unsigned i = 0; i < thread_count; ++i) threads_.emplace_back([this] { loop(); });
}

DiskThreads::~DiskThreads() {
  {
    const MutexLock lock(mutex_);
    stopping_ = true;
  }
  wake_.notify_all();
  for (std::thread& thread : threads_) thread.join();
}

void DiskThreads::run(const object::ClientId& who, std::function<void()> work) {
  {
    const MutexLock lock(mutex_);
    Queue& queue = queues_[who];
    queue.work.push_back(std::move(work));
    give_turn(who, queue);
  }
  wake_.notify_one();
}

void DiskThreads::give_turn(const object::ClientId& who, Queue& queue) {
  if (queue.has_turn || queue.work.empty() || queue.running >= running_max_) return;
  queue.has_turn = true;
  turns_.push_back(who);
}

void DiskThreads::loop() {
  for (;;) {
    object::ClientId who;
    std::function<void()> work;
    {
      const MutexLock lock(mutex_);
      // What waits for its client's running work is left to the thread that does that.
      while (turns_.empty() && !stopping_) wake_.wait(mutex_);
      if (turns_.empty()) return;
      who = turns_.front();
      turns_.pop_front();
      Queue& queue = queues_[who];
      queue.has_turn = false;
      work = std::move(queue.work.front());
      queue.work.pop_front();
      ++queue.running;
      give_turn(who, queue);  // Behind all others.
      if (!turns_.empty()) wake_.notify_one();
    }
    work();
    work = nullptr;  // What it holds goes before its client's next turn.
    const MutexLock lock(mutex_);
    Queue& queue = queues_[who];
    --queue.running;
    give_turn(who, queue);
    if (queue.running == 0 && queue.work.empty()) queues_.erase(who);
    if (!turns_.empty()) wake_.notify_one();
  }
}

}  // namespace coffer::service
