#include "fs/meta/pins.h"

namespace coffer::meta {

void Pins::pin(InodeId inode, std::uint64_t count) {
  if (count == 0) return;
  MutexLock lock(mutex_);
  pinned_[inode].count += count;
}

bool Pins::unpin(InodeId inode, std::uint64_t count) {
  MutexLock lock(mutex_);
  const auto found = pinned_.find(inode);
  if (found == pinned_.end()) return false;
  if (found->second.count > count) {
    found->second.count -= count;
    return false;
  }
  const bool nameless = found->second.nameless;
  pinned_.erase(found);
  return nameless;
}

bool Pins::is_pinned(InodeId inode) {
  MutexLock lock(mutex_);
  return pinned_.contains(inode);
}

bool Pins::outlives_its_names(InodeId inode) {
  MutexLock lock(mutex_);
  const auto found = pinned_.find(inode);
  if (found == pinned_.end()) return false;
  found->second.nameless = true;
  return true;
}

}  // namespace coffer::meta
