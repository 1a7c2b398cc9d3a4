// Which of libfuse's threads wait in read(2) for the next request.
//
// libfuse lets every idle thread wait there, and the kernel wakes the one that has waited longest: requests that come
// one after the other go round all of them, and each finds cold caches. So two wait there, one of which is left while
// the other answers, and the rest wait here until nobody is left.
#pragma once

#include "common/base/mutex.h"
#include "common/base/result.h"
#include "common/os/fd.h"

namespace coffer::ops {

/// Thread-safe.
class Readers {
 public:
  /// To be called before all else.
  Result<void> open();

  /// Returns when the caller is one of those that wait for a request. A cancellation point (pthreads(7)), as read(2)
  /// is; a thread that is cancelled here or in read(2) is not replaced: the session ends then.
  void enter();
  /// It has one, or none came.
  void leave();

 private:
  static constexpr int kReadersMax = 2;

  bool has_to_wait();

  os::Fd turns_;  // An eventfd(2) that counts how many of those that wait may go on.
  Mutex mutex_;
  int reading_ GUARDED_BY(mutex_) = 0;  // Also those that may go on and have not yet.
  int waiting_ GUARDED_BY(mutex_) = 0;
};

}  // namespace coffer::ops
