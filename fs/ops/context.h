// What every operation of a mount can reach.
#pragma once

#include <atomic>
#include <functional>
#include <stop_token>
#include <string>

#include "fs/files/file_system.h"
#include "fs/ops/waiters.h"

namespace coffer::ops {

struct Context {
  files::FileSystem& file_system;
  std::string mountpoint;
  double cache_seconds;
  bool follows_others;  ///< Someone else may change what the kernel caches.
  std::function<void()> on_ready;
  std::atomic<bool> is_ready{false};
  Waiters waiters{};
  std::stop_source ending{};  ///< Requested when the mount is gone: nobody waits for answers any more.

  /// Virtual files change by themselves.
  double seconds_for(InodeId inode) const { return inode.value() >= files::kVirtualInodeFirst ? 0 : cache_seconds; }
};

}  // namespace coffer::ops
