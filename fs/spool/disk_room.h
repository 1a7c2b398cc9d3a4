// How much the local disk still takes: asked of the disk at each question where room is short, and now and then where
// there is plenty.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>

#include "common/base/mutex.h"
#include "common/base/result.h"
#include "common/os/disk.h"

namespace coffer::spool {

/// How old an answer of the disk may be, and how much must be free beyond what is asked for, so that nobody uses it up
/// in that time: the journal of the tree, staging files, other programs.
inline constexpr std::chrono::milliseconds kLookAge{100};
inline constexpr std::uint64_t kPlentyBytes = 256u << 20;

/// Thread-safe. Keeps a reference to `disk`, which is asked without a lock.
class DiskRoom {
 public:
  DiskRoom(os::Disk& disk, std::string folder) : disk_(disk), folder_(std::move(folder)) {}

  /// What is free now; or, if that leaves kPlentyBytes beyond `needed`, what was free at most kLookAge ago, less what
  /// was put since.
  Result<std::uint64_t> free_bytes(std::uint64_t needed) EXCLUDES(mutex_);
  /// So much was written since.
  void put(std::uint64_t bytes) EXCLUDES(mutex_);

 private:
  struct Look {
    std::chrono::steady_clock::time_point at;
    std::uint64_t free_bytes;
    std::uint64_t put_bytes;
  };

  os::Disk& disk_;
  const std::string folder_;
  Mutex mutex_;
  std::uint64_t put_bytes_ GUARDED_BY(mutex_) = 0;
  std::optional<Look> look_ GUARDED_BY(mutex_);
};

}  // namespace coffer::spool
