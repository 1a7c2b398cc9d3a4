#include "fs/commit/background.h"

#include <utility>

#include "common/base/log.h"

namespace coffer::commit {
namespace {

/// After a failure. What went wrong, a full disk as a rule, does not tell when it is over.
constexpr auto kPause = std::chrono::milliseconds(200);
/// Nobody tells when there is room for a flush that failed, either.
constexpr auto kFlushPause = std::chrono::seconds(1);

}  // namespace

void Background::start(unsigned thread_count) {
  {
    const MutexLock lock(mutex_);
    if (!stopping_) return;
    stopping_ = false;
  }
  for (unsigned i = 0; i < thread_count; ++i) threads_.emplace_back([this] { commit_loop(); });
  threads_.emplace_back([this] { seal_loop(); });
}

void Background::stop() {
  {
    const MutexLock lock(mutex_);
    stopping_ = true;
  }
  changed_.notify_all();
  for (std::thread& thread : threads_) thread.join();
  threads_.clear();
}

void Background::commit_soon(InodeId inode) {
  {
    const MutexLock lock(mutex_);
    if (!runs_.insert(inode).second) return;
  }
  changed_.notify_all();
}

void Background::flush_later(InodeId inode) {
  const MutexLock lock(mutex_);
  unflushed_.insert(inode);
  ++wake_count_;
  changed_.notify_all();
}

void Background::wake() {
  {
    const MutexLock lock(mutex_);
    ++wake_count_;
  }
  changed_.notify_all();
}

std::optional<InodeId> Background::idle_run() const {
  for (const InodeId inode : runs_) {
    if (!busy_.contains(inode)) return inode;
  }
  return std::nullopt;
}

/// Commits one file's run, or makes room. nullopt if there was nothing to do.
std::optional<Result<void>> Background::commit_next() {
  std::optional<InodeId> inode;
  bool has_run = false;
  {
    const MutexLock lock(mutex_);
    inode = idle_run();
    has_run = inode.has_value();
    if (has_run) {
      runs_.erase(*inode);
    } else {
      if (!busy_.empty()) return std::nullopt;  // They make room already.
      inode = work_.find_pressing();
      if (!inode) return std::nullopt;
    }
    busy_.insert(*inode);
  }
  Result<void> outcome = has_run ? work_.commit_run(*inode) : work_.make_room(*inode);
  if (!outcome) log::warn("background commit failed", {{"error", outcome.error().what}});
  const MutexLock lock(mutex_);
  busy_.erase(*inode);
  return outcome;
}

/// Tries a flush that failed again. nullopt if there is none, or no room for it.
std::optional<Result<void>> Background::flush_next() {
  std::optional<InodeId> inode;
  {
    const MutexLock lock(mutex_);
    if (unflushed_.empty()) return std::nullopt;
  }
  if (!work_.has_room()) return std::nullopt;  // It asks the disk: not under the lock.
  {
    const MutexLock lock(mutex_);
    if (unflushed_.empty()) return std::nullopt;
    inode = *unflushed_.begin();
    unflushed_.erase(unflushed_.begin());
  }
  Result<void> outcome = work_.flush(*inode);
  if (outcome) return outcome;
  log::warn("background flush failed", {{"error", outcome.error().what}});
  const MutexLock lock(mutex_);
  unflushed_.insert(*inode);
  return outcome;
}

void Background::commit_loop() {
  for (;;) {
    std::uint64_t seen = 0;
    {
      const MutexLock lock(mutex_);
      if (stopping_) return;
      seen = wake_count_;
    }
    std::optional<Result<void>> outcome = commit_next();
    if (!outcome) outcome = flush_next();
    if (outcome && *outcome) continue;
    const bool has_failed = outcome.has_value();
    const auto now = std::chrono::steady_clock::now();
    const MutexLock lock(mutex_);
    const auto pause_end = now + (unflushed_.empty() ? kPause : kFlushPause);
    bool in_time = true;
    while (!stopping_ && in_time && wake_count_ == seen && (has_failed || !idle_run())) {
      if (has_failed || !unflushed_.empty()) {
        in_time = changed_.wait_until(mutex_, pause_end);
      } else {
        changed_.wait(mutex_);
      }
    }
  }
}

void Background::seal_loop() {
  for (;;) {
    std::uint64_t seen = 0;
    {
      const MutexLock lock(mutex_);
      seen = wake_count_;
    }
    const std::optional<os::SteadyTime> due = work_.next_due();
    {
      const MutexLock lock(mutex_);
      bool in_time = !due || *due > std::chrono::steady_clock::now();
      while (!stopping_ && in_time && wake_count_ == seen) {
        if (due) {
          in_time = changed_.wait_until(mutex_, *due);
        } else {
          changed_.wait(mutex_);
        }
      }
      if (stopping_) return;
      if (in_time) continue;
    }
    if (auto sealed = work_.seal_due(); !sealed) {
      log::warn("sealing an open chunk failed", {{"error", sealed.error().what}});
    }
  }
}

}  // namespace coffer::commit
