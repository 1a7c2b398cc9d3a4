// A mutex that clang's thread-safety analysis understands (-Wthread-safety).
//
// What a mutex guards is said where the data is declared: `int count_ GUARDED_BY(mutex_);`.
#pragma once

#include <chrono>
#include <condition_variable>
#include <mutex>

#if defined(__clang__)
#define COFFER_THREAD_ATTRIBUTE(x) __attribute__((x))
#else
#define COFFER_THREAD_ATTRIBUTE(x)
#endif

#define GUARDED_BY(mutex) COFFER_THREAD_ATTRIBUTE(guarded_by(mutex))
#define REQUIRES(...) COFFER_THREAD_ATTRIBUTE(requires_capability(__VA_ARGS__))
#define EXCLUDES(...) COFFER_THREAD_ATTRIBUTE(locks_excluded(__VA_ARGS__))

namespace coffer {

class COFFER_THREAD_ATTRIBUTE(capability("mutex")) Mutex {
 public:
  void lock() COFFER_THREAD_ATTRIBUTE(acquire_capability()) { mutex_.lock(); }
  void unlock() COFFER_THREAD_ATTRIBUTE(release_capability()) { mutex_.unlock(); }
  bool try_lock() COFFER_THREAD_ATTRIBUTE(try_acquire_capability(true)) { return mutex_.try_lock(); }

 private:
  friend class Condition;

  std::mutex mutex_;
};

class COFFER_THREAD_ATTRIBUTE(scoped_lockable) MutexLock {
 public:
  explicit MutexLock(Mutex& mutex) COFFER_THREAD_ATTRIBUTE(acquire_capability(mutex)) : mutex_(mutex) { mutex_.lock(); }
  ~MutexLock() COFFER_THREAD_ATTRIBUTE(release_capability()) { mutex_.unlock(); }
  MutexLock(const MutexLock&) = delete;
  MutexLock& operator=(const MutexLock&) = delete;

 private:
  Mutex& mutex_;
};

/// Waits on a Mutex that the caller holds. Wake-ups may be spurious: wait in a loop over the condition.
class Condition {
 public:
  void wait(Mutex& mutex) REQUIRES(mutex) {
    std::unique_lock<std::mutex> lock(mutex.mutex_, std::adopt_lock);
    condition_.wait(lock);
    lock.release();  // The caller holds it still.
  }
  /// False once `deadline` has passed.
  bool wait_until(Mutex& mutex, std::chrono::steady_clock::time_point deadline) REQUIRES(mutex) {
    std::unique_lock<std::mutex> lock(mutex.mutex_, std::adopt_lock);
    const std::cv_status status = condition_.wait_until(lock, deadline);
    lock.release();
    return status == std::cv_status::no_timeout;
  }
  void notify_one() { condition_.notify_one(); }
  void notify_all() { condition_.notify_all(); }

 private:
  std::condition_variable condition_;  // That of any lock takes a mutex of its own for each wait and notify.
};

}  // namespace coffer
