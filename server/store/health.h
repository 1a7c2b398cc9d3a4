// What is known of how sound one vault's chunks are: which are wanted back from clients, and since when all were read.
//
// A chunk is wanted while the log names it and no good copy is stored: it was found damaged and set aside, or its pack
// was lost. Whoever still has it is asked for it (PROTOCOL.md, ping). Nothing of this is kept on the disk: what is
// missing is found again by comparing the log with the store.
#pragma once

#include <cstdint>
#include <optional>
#include <set>
#include <vector>

#include "common/base/mutex.h"
#include "common/object/ids.h"

namespace coffer::store {

/// Wanted chunks that are kept in memory, 32 MiB of ids; those beyond are found again once these have come.
inline constexpr std::size_t kWantedMax = 1u << 20;

/// Thread-safe.
class Health {
 public:
  void want(const object::ChunkId& id);
  bool is_wanted(const object::ChunkId& id) const;
  /// A good copy is stored again. True if it was wanted.
  bool came(const object::ChunkId& id);
  std::uint64_t wanted_count() const;
  /// At most `count_max` wanted chunks. Each call goes on where the last one ended, so that clients which have only
  /// some of them get to hear of all.
  std::vector<object::ChunkId> next_wanted(std::size_t count_max);

  /// Every chunk that was stored then was read back after that time, since 1970; none: not yet.
  void set_scrubbed(std::int64_t since_ns);
  std::optional<std::int64_t> scrubbed_ns() const;

 private:
  mutable Mutex mutex_;
  std::set<object::ChunkId> wanted_ GUARDED_BY(mutex_);
  std::optional<object::ChunkId> last_told_ GUARDED_BY(mutex_);
  std::optional<std::int64_t> scrubbed_ns_ GUARDED_BY(mutex_);
};

}  // namespace coffer::store
