// Some chunks of one commit on their way to the spool. Each is sealed by whoever is free; who ends last finds the ids
// of all of them, which costs little more than half of what it costs one by one, and spools them.
#pragma once

#include <cstddef>
#include <optional>
#include <vector>

#include "common/base/bytes.h"
#include "common/base/mutex.h"
#include "common/base/result.h"
#include "common/crypto/hash_each.h"
#include "fs/seal/sealer.h"
#include "fs/spool/spool.h"

namespace coffer::commit {

/// Thread-safe, but for add() and close(), which are one thread's.
class ChunkGroup {
 public:
  /// As many as can have their ids made side by side.
  static constexpr std::size_t kChunksMax = crypto::kHashedTogetherMax;

  ChunkGroup(const seal::Sealer& sealer, spool::Spool& spool) : sealer_(sealer), spool_(spool) {}

  /// The number of one more chunk, which somebody seal()s. Not after close().
  std::size_t add();
  void seal(std::size_t index, ByteView plain);
  /// No more will be added: without it wait() waits for ever. Spools the chunks where all are sealed. Twice is
  /// harmless.
  void close();
  /// Blocks until the chunk is in the spool, or could not be put there; what it is then stays so.
  const Result<spool::SpooledChunk>& wait(std::size_t index);

 private:
  struct Chunk {
    std::optional<seal::UnnamedChunk> sealed;
    std::optional<Result<spool::SpooledChunk>> outcome;
  };

  void spool_all();

  const seal::Sealer& sealer_;
  spool::Spool& spool_;
  Mutex mutex_;
  Condition done_;
  std::vector<Chunk> chunks_ GUARDED_BY(mutex_);
  std::size_t sealed_count_ GUARDED_BY(mutex_) = 0;
  bool is_closed_ GUARDED_BY(mutex_) = false;
  bool is_done_ GUARDED_BY(mutex_) = false;  ///< All outcomes are there.
};

}  // namespace coffer::commit
