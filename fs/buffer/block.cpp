#include "fs/buffer/block.h"

#include <utility>

#include "common/os/long_wait.h"

namespace coffer::buffer {

void Budget::take(std::size_t bytes) {
  const MutexLock lock(mutex_);
  used_ += bytes;
}

void Budget::give_back(std::size_t bytes) {
  {
    const MutexLock lock(mutex_);
    used_ -= bytes;
    given_back_ += bytes;
  }
  room_.notify_all();
}

bool Budget::has_room(std::size_t bytes) const {
  const MutexLock lock(mutex_);
  return used_ == 0 || used_ + bytes <= bytes_max_;
}

Result<void> Budget::wait_for_room(std::size_t bytes, os::SteadyTime deadline, const std::stop_token& stop) {
  // The lock is taken, so that a stop between the check and the wait is not missed.
  const std::stop_callback wake(stop, [this] {
    { const MutexLock lock(mutex_); }
    room_.notify_all();
  });
  const MutexLock lock(mutex_);
  bool in_time = true;
  while (used_ != 0 && used_ + bytes > bytes_max_) {
    if (stop.stop_requested()) return Error{Fault::stopped, 0, "waiting for room in the write buffer"};
    if (!in_time) return Error{Fault::full, 0, "the write buffer stays full"};
    os::begin_long_wait();
    in_time = room_.wait_until(mutex_, deadline);
  }
  return {};
}

std::size_t Budget::used() const {
  const MutexLock lock(mutex_);
  return used_;
}

std::uint64_t Budget::given_back() const {
  const MutexLock lock(mutex_);
  return given_back_;
}

Storage::Storage(std::size_t capacity, std::shared_ptr<Budget> budget) : bytes_(capacity), budget_(std::move(budget)) {
  budget_->take(capacity);
}

Storage::~Storage() { budget_->give_back(bytes_.size()); }

}  // namespace coffer::buffer
