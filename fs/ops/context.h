// What every operation of a mount can reach.
#pragma once

#include <unistd.h>

#include <atomic>
#include <cstdint>
#include <functional>
#include <set>
#include <stop_token>
#include <string>

#include "common/base/mutex.h"
#include "fs/files/file_system.h"
#include "fs/ops/first_reads.h"
#include "fs/ops/fuse.h"
#include "fs/ops/mount.h"
#include "fs/ops/readers.h"
#include "fs/ops/waiters.h"

namespace coffer::ops {

/// Threads of ours that are calling the kernel about our own mount, by gettid(2). Thread-safe.
class OwnThreads {
 public:
  /// The calling thread is one of them as long as this lives.
  class Here {
   public:
    explicit Here(OwnThreads& threads) : threads_(threads) {
      const MutexLock lock(threads_.mutex_);
      threads_.ids_.insert(::gettid());
    }
    ~Here() {
      const MutexLock lock(threads_.mutex_);
      threads_.ids_.erase(::gettid());
    }
    Here(const Here&) = delete;
    Here& operator=(const Here&) = delete;

   private:
    OwnThreads& threads_;
  };

  bool has(pid_t id) const {
    const MutexLock lock(mutex_);
    return ids_.contains(id);
  }

 private:
  mutable Mutex mutex_;
  std::set<pid_t> ids_ GUARDED_BY(mutex_);
};

struct Context {
  files::FileSystem& file_system;
  std::string mountpoint;
  double cache_seconds;
  Shown shown;
  bool follows_others;  ///< Someone else may change what the kernel caches.
  std::function<void()> on_ready;
  std::atomic<bool> is_ready{false};
  std::atomic<std::uint64_t> init_to_extend{0};  ///< kernel_io.h: the first request, while it is not answered.
  std::atomic<int> device{-1};                   ///< The descriptor of /dev/fuse, once it is mounted.
  Readers readers{Readers::Options{}};
  Waiters waiters{};
  FirstReads first_reads{};
  OwnThreads own_threads{};
  fuse_session* session = nullptr;
  std::stop_source ending{};  ///< Requested when the mount is gone: nobody waits for answers any more.

  /// Virtual files change by themselves.
  double seconds_for(InodeId inode) const { return inode.value() >= files::kVirtualInodeFirst ? 0 : cache_seconds; }
};

}  // namespace coffer::ops
