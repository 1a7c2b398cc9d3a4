// Where the recorded part of a file that is being written ends at a cut that its content chose: whatever order the
// bytes come in, the next piece begins there. Only a help to find equal content, and forgotten where it grows.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <set>

#include "common/base/mutex.h"
#include "fs/value/extent.h"
#include "fs/value/ids.h"

namespace coffer::commit {

/// Thread-safe.
class KnownCuts {
 public:
  /// So many are kept of one file: each stands for a gap that the kernel left and will fill.
  static constexpr std::size_t kCutsMax = 256;

  /// The first one inside `range`, or at its begin. Offset 0 always is one.
  std::optional<std::uint64_t> first_in(InodeId inode, Range range) const;
  /// `range` was recorded, and more follows behind a cut at its end.
  void add(InodeId inode, Range range);
  void forget(InodeId inode);

 private:
  mutable Mutex mutex_;
  std::map<InodeId, std::set<std::uint64_t>> files_ GUARDED_BY(mutex_);
};

}  // namespace coffer::commit
