#include "net/rpc/budget.h"

#include <utility>

namespace coffer::rpc {

bool Budget::take(std::uint64_t bytes, std::function<void()> wake) {
  const MutexLock lock(mutex_);
  if (taken_ + bytes > bytes_max_) {
    waiting_.push_back(std::move(wake));
    return false;
  }
  taken_ += bytes;
  return true;
}

void Budget::take_anyway(std::uint64_t bytes) {
  const MutexLock lock(mutex_);
  taken_ += bytes;
}

void Budget::give(std::uint64_t bytes) {
  std::vector<std::function<void()>> woken;
  {
    const MutexLock lock(mutex_);
    taken_ -= bytes;
    woken.swap(waiting_);
  }
  for (const auto& wake : woken) wake();
}

}  // namespace coffer::rpc
