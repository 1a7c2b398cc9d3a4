// One lock for each inode: what is recorded of a file is recorded by one thread at a time, in the order of the writes.
#pragma once

#include <unordered_set>

#include "common/base/mutex.h"
#include "common/os/long_wait.h"
#include "fs/value/ids.h"

namespace coffer::commit {

/// Thread-safe.
class InodeLocks {
 public:
  class Held {
   public:
    /// Blocks until no other thread holds `inode`. A thread holds at most one.
    Held(InodeLocks& locks, InodeId inode) : locks_(locks), inode_(inode) { locks_.lock(inode); }
    ~Held() { locks_.unlock(inode_); }
    Held(const Held&) = delete;
    Held& operator=(const Held&) = delete;

   private:
    InodeLocks& locks_;
    const InodeId inode_;
  };

 private:
  void lock(InodeId inode) {
    const MutexLock lock(mutex_);
    while (!locked_.insert(inode).second) {
      os::begin_long_wait();
      unlocked_.wait(mutex_);
    }
  }
  void unlock(InodeId inode) {
    {
      const MutexLock lock(mutex_);
      locked_.erase(inode);
    }
    unlocked_.notify_all();
  }

  Mutex mutex_;
  Condition unlocked_;
  std::unordered_set<InodeId> locked_ GUARDED_BY(mutex_);
};

}  // namespace coffer::commit
