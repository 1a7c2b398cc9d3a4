#include "fs/ops/first_reads.h"

#include <algorithm>
#include <utility>
#include <vector>

namespace coffer::ops {

namespace {

using std::chrono::steady_clock;

/// The kernel asks again at once; more than a busy machine takes for it.
constexpr auto kAgainWithin = std::chrono::seconds(2);

}  // namespace

FirstReads::~FirstReads() {
  std::thread thread;
  {
    const MutexLock lock(mutex_);
    stopping_ = true;
    thread = std::move(thread_);
  }
  changed_.notify_all();
  if (thread.joinable()) thread.join();
}

FirstReads::Key FirstReads::limit(std::stop_source stop) {
  const MutexLock lock(mutex_);
  if (!thread_.joinable()) thread_ = std::thread([this] { run(); });
  if (limits_.empty()) changed_.notify_all();
  const Key key(steady_clock::now() + first_time_, ++last_number_);
  limits_.emplace(key, std::move(stop));
  return key;
}

void FirstReads::unlimit(const Key& key) {
  const MutexLock lock(mutex_);
  limits_.erase(key);
}

void FirstReads::failed(InodeId inode, Range range) {
  const MutexLock lock(mutex_);
  failed_.push_back({steady_clock::now(), inode, range});
}

bool FirstReads::is_second(InodeId inode, std::uint64_t at) {
  const MutexLock lock(mutex_);
  const auto too_old = steady_clock::now() - kAgainWithin;
  while (!failed_.empty() && failed_.front().at < too_old) failed_.pop_front();
  const auto found = std::ranges::find_if(
      failed_, [&](const Failed& one) { return one.inode == inode && one.range.begin <= at && at < one.range.end; });
  if (found == failed_.end()) return false;
  failed_.erase(found);
  return true;
}

void FirstReads::run() {
  for (;;) {
    std::vector<std::stop_source> due;
    {
      const MutexLock lock(mutex_);
      if (stopping_) return;
      if (limits_.empty()) {
        changed_.wait(mutex_);
      } else {
        // Nobody wakes it when the first one goes: most reads end long before, and it looks once in a while.
        const Time next = limits_.begin()->first.first;
        changed_.wait_until(mutex_, next);
      }
      const Time now = steady_clock::now();
      while (!limits_.empty() && limits_.begin()->first.first <= now) {
        due.push_back(std::move(limits_.begin()->second));
        limits_.erase(limits_.begin());
      }
    }
    for (std::stop_source& stop : due) stop.request_stop();  // It calls back: no lock is held.
  }
}

}  // namespace coffer::ops
