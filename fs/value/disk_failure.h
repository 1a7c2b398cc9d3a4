// Whether the local disk has failed, and how.
#pragma once

#include <atomic>
#include <cerrno>
#include <optional>
#include <string>

#include "common/base/log.h"
#include "common/base/mutex.h"
#include "common/base/result.h"

namespace coffer {

/// Set once, by whoever meets it, on a user's call or in the background: from then on the vault takes no changes. A
/// sync that failed is never believed again, because the kernel drops the pages that it could not write (fsync(2)), and
/// the next one succeeds. Thread-safe.
class DiskFailure {
 public:
  /// Does nothing for an Error that is not of the disk: a full one is none.
  void note(const Error& error) {
    if (error.fault != Fault::local_io || (error.code != EIO && error.code != EROFS)) return;
    const MutexLock lock(mutex_);
    if (what_) return;
    what_ = error.what;
    is_set_ = true;
    log::error("disk_failed", {{"why", error.what}});
  }
  bool is_set() const { return is_set_; }
  std::optional<std::string> get() const {
    const MutexLock lock(mutex_);
    return what_;
  }

 private:
  mutable Mutex mutex_;
  std::atomic<bool> is_set_ = false;
  std::optional<std::string> what_ GUARDED_BY(mutex_);
};

}  // namespace coffer
