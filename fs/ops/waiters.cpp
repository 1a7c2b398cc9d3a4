#include "fs/ops/waiters.h"

#include <algorithm>
#include <system_error>
#include <utility>

#include "common/base/log.h"

namespace coffer::ops {

void Waiters::run(std::function<void()> task) {
  std::vector<std::thread> ended;
  bool now = false;
  {
    const MutexLock lock(mutex_);
    ended.swap(ended_);
    if (stopping_) {
      now = true;
    } else {
      tasks_.push_back(std::move(task));
      if (tasks_.size() > idle_ && threads_ < kThreadsMax) {
        try {
          running_.emplace_back([this] { work(); });
          ++threads_;
        } catch (const std::system_error& e) {  // No thread to be had: the others come to it, or we do it here.
          log::warn("no_waiting_thread", {{"why", e.what()}});
          if (threads_ == 0) {
            task = std::move(tasks_.back());
            tasks_.pop_back();
            now = true;
          }
        }
      }
    }
  }
  changed_.notify_one();
  for (std::thread& thread : ended) thread.join();
  if (now) task();
}

void Waiters::work() {
  mutex_.lock();
  while (true) {
    while (tasks_.empty() && !stopping_ && idle_ < kIdleMax) {
      ++idle_;
      changed_.wait(mutex_);
      --idle_;
    }
    if (tasks_.empty()) break;
    std::function<void()> task = std::move(tasks_.front());
    tasks_.pop_front();
    mutex_.unlock();
    task();
    task = nullptr;
    mutex_.lock();
  }
  --threads_;
  const auto self = std::find_if(running_.begin(), running_.end(),
                                 [](const std::thread& t) { return t.get_id() == std::this_thread::get_id(); });
  if (self != running_.end()) {  // Else stop() has taken it, to join it.
    ended_.push_back(std::move(*self));
    running_.erase(self);
  }
  mutex_.unlock();
}

void Waiters::stop() {
  std::vector<std::thread> threads;
  {
    const MutexLock lock(mutex_);
    stopping_ = true;
    threads.swap(running_);
    for (std::thread& thread : ended_) threads.push_back(std::move(thread));
    ended_.clear();
  }
  changed_.notify_all();
  for (std::thread& thread : threads) thread.join();
}

}  // namespace coffer::ops
