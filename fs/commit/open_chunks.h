// Small content, batched: many files share one chunk, which is sealed when it is large enough or old enough.
//
// An open chunk's bytes are in memory, for readers and the Sealer, and in a staging file, for the next start. They stay
// in memory until the tree says that the chunk is spooled: whoever asks here first and the tree afterwards finds them
// in one of the two places.
//
// Locks, in this order: sealing_, appending_, mutex_. The tree is called under the first two, never under the last one.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "common/base/bytes.h"
#include "common/base/mutex.h"
#include "common/base/result.h"
#include "common/os/clock.h"
#include "fs/meta/tree.h"
#include "fs/seal/sealer.h"
#include "fs/spool/spool.h"
#include "fs/spool/staging.h"

namespace coffer::commit {

/// Thread-safe. Keeps references to all it is given.
class OpenChunks {
 public:
  struct Parts {
    meta::Tree& tree;
    spool::Spool& spool;
    spool::Staging& staging;
    const seal::Sealer& sealer;
    os::Clock& clock;
  };

  /// `on_due` is called, without a lock, when next_due() may have come closer.
  OpenChunks(const Parts& parts, std::chrono::milliseconds delay, std::function<void()> on_due);

  /// What the last run left. Returns a sentence for each open chunk whose bytes are gone.
  Result<std::vector<ChunkRow>> recover();

  /// Appends `plain`, less than kChunkPlainBytesTarget bytes. `pieces` are ranges of `plain` that the caller is about
  /// to record: the tree keeps them, as meta::Tree::keep() says. Survives kill -9 when it returns.
  Result<meta::PieceAt> append(ByteView plain, std::span<const Range> pieces);

  /// Nothing is being batched.
  bool is_empty() const;

  /// As spool::PlainChunks::read_open().
  Result<bool> read(ChunkKey chunk, std::uint32_t offset, MutableByteView into) const;

  /// Seals what is open, or only what is due; false where that was nothing. What could not be sealed stays open, and is
  /// due again after the delay.
  Result<bool> seal_all();
  Result<bool> seal_due();
  /// When seal_due() has something to do; nullopt while nothing is open.
  std::optional<os::SteadyTime> next_due() const;

  std::uint64_t open_bytes() const;

 private:
  struct Chunk {
    ChunkKey key;
    Bytes plain;
    os::SteadyTime due;
    bool is_closed = false;   // Takes no more.
    bool is_damaged = false;  // Lacks bytes that files need: never sealed.
  };

  Result<void> start_new() REQUIRES(appending_);
  Result<bool> seal_where(const std::function<bool(const Chunk&)>& wanted) EXCLUDES(sealing_, appending_, mutex_);
  std::vector<std::shared_ptr<Chunk>> close_where(const std::function<bool(const Chunk&)>& wanted);
  Result<void> seal(const Chunk& chunk);
  Result<void> drop(const Chunk& chunk);
  void forget(ChunkKey chunk);

  const Parts parts_;
  const std::chrono::milliseconds delay_;
  const std::function<void()> on_due_;

  Mutex sealing_;    // One thread seals at a time: who waits for it finds it done.
  Mutex appending_;  // Orders the appends to the staging file.
  std::shared_ptr<Chunk> current_ GUARDED_BY(appending_);
  mutable Mutex mutex_;
  std::map<ChunkKey, std::shared_ptr<Chunk>> chunks_ GUARDED_BY(mutex_);  // `plain` and `due` are guarded by it, too.
};

}  // namespace coffer::commit
