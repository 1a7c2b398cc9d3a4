#include "fs/spool/disk_room.h"

#include <algorithm>

namespace coffer::spool {

using std::chrono::steady_clock;

Result<std::uint64_t> DiskRoom::free_bytes(std::uint64_t needed) {
  Look look{.at = steady_clock::now(), .free_bytes = 0, .put_bytes = 0};
  {
    const MutexLock lock(mutex_);
    if (look_ && look.at - look_->at < kLookAge) {
      const std::uint64_t left = look_->free_bytes - std::min(look_->free_bytes, put_bytes_ - look_->put_bytes);
      if (left >= kPlentyBytes && left - kPlentyBytes >= needed) return left;
    }
    look.put_bytes = put_bytes_;  // Before the disk is asked: what is put meanwhile counts.
  }
  COFFER_TRY(look.free_bytes, disk_.free_bytes(folder_));
  const MutexLock lock(mutex_);
  look_ = look;
  return look.free_bytes;
}

void DiskRoom::put(std::uint64_t bytes) {
  const MutexLock lock(mutex_);
  put_bytes_ += bytes;
}

}  // namespace coffer::spool
