// Guesses what will be read next from what was read; asks for nothing itself.
#pragma once

#include <cstdint>
#include <list>
#include <optional>
#include <unordered_map>
#include <vector>

#include "common/base/mutex.h"
#include "fs/value/extent.h"
#include "fs/value/ids.h"

namespace coffer::fetch {

/// Files that are read from their start to their end. Thread-safe.
class FileWalks {
 public:
  explicit FileWalks(std::uint64_t bytes_max) : bytes_max_(bytes_max) {}

  /// The file was read there. What should be asked for now, if anything.
  std::optional<Range> was_read(InodeId inode, std::uint64_t at, std::uint64_t bytes);
  /// Of that answer, only what lies before `until` could be asked for.
  void asked_until(InodeId inode, std::uint64_t until);

 private:
  struct Walk {
    std::uint64_t next = 0;    // Where a reader who goes on would be.
    std::uint64_t window = 0;  // How far ahead of it.
    std::uint64_t asked = 0;   // Up to where.
    std::list<InodeId>::iterator place;
  };

  const std::uint64_t bytes_max_;
  Mutex mutex_;
  std::unordered_map<InodeId, Walk> walks_ GUARDED_BY(mutex_);
  std::list<InodeId> last_used_ GUARDED_BY(mutex_);  // Latest first.
};

/// Chunks that are read in the order in which they were made, whatever files they belong to. Thread-safe.
class ChunkWalks {
 public:
  /// A chunk was read. `was_away`: it had to be waited for. The chunks that should be asked for now.
  std::vector<ChunkKey> was_read(ChunkKey chunk, bool was_away);
  /// Of that answer, `first` and those behind it could not be asked for.
  void not_asked(ChunkKey first);

 private:
  struct Walk {
    std::int64_t last;
    std::int64_t asked;
    std::int64_t window;
  };

  Mutex mutex_;
  std::list<Walk> walks_ GUARDED_BY(mutex_);  // Latest first.
};

}  // namespace coffer::fetch
