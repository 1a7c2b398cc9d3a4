// Which inodes the kernel or an open handle refers to.
#pragma once

#include <cstdint>
#include <unordered_map>

#include "common/base/mutex.h"
#include "fs/value/ids.h"

namespace coffer::meta {

/// Thread-safe; its lock is taken last.
class Pins {
 public:
  void pin(InodeId inode, std::uint64_t count);
  /// True if this was the last pin of an inode that has lost its last name: it is to be deleted now.
  bool unpin(InodeId inode, std::uint64_t count);
  bool is_pinned(InodeId inode);
  /// False, and nothing more, where there is no pin; else the last unpin() will say true.
  bool outlives_its_names(InodeId inode);

 private:
  struct Pinned {
    std::uint64_t count = 0;
    bool nameless = false;
  };
  Mutex mutex_;
  std::unordered_map<InodeId, Pinned> pinned_ GUARDED_BY(mutex_);
};

}  // namespace coffer::meta
