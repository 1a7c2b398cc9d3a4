// Where the sealed chunks of one vault are kept.
//
// The interface behind which packs on the local disk (pack_chunk_store.h) could be an object store. It never says of
// a chunk that it is stored before it is on stable storage.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "common/base/bytes.h"
#include "common/base/result.h"
#include "common/object/ids.h"
#include "common/object/quota.h"
#include "common/pack/pack_store.h"

namespace coffer::store {

using object::kChunkOverheadBytes;

/// How much of a chunk is here.
struct Held {
  std::uint64_t received = 0;  ///< Bytes from its start; all of them where `stored`.
  bool stored = false;         ///< Whole, and on stable storage.
};

struct PutDone {
  bool was_stored = false;  ///< It had been here before.
};

/// Thread-safe. All calls may wait for the disk.
class ChunkStore {
 public:
  using Done = std::function<void(Result<PutDone>)>;
  /// Whether the caller has other work to do meanwhile.
  enum class Caller { waits, goes_on };

  virtual ~ChunkStore() = default;

  /// Stores a chunk whose id the caller has checked, and calls `done` exactly once: after the chunk is on stable
  /// storage, or when that has failed. `done` may run in this call, which may write what is given meanwhile too, or on
  /// a thread of the store; it must not block. For a caller that goes on, a thread of the store writes it if one is
  /// free.
  /// Fault::full: the disk is; Fault::local_io: the disk failed; Fault::stopped: the store is being closed.
  virtual void put(const object::ChunkId& id, std::shared_ptr<const Bytes> sealed, Done done,
                   Caller caller = Caller::waits) = 0;
  /// Bytes given to put() whose `done` was not called yet: the caller waits before it adds to many.
  virtual std::uint64_t queued_bytes() const = 0;

  virtual Result<Held> find(const object::ChunkId& id) = 0;
  /// All of it or a part, unchecked: whoever gets it compares the whole with its id. answer(ENOENT) where it is not
  /// stored; Fault::corrupt where the disk cannot read it; Fault::refused with EINVAL where the range is not within it.
  virtual Result<Bytes> read_range(const object::ChunkId& id, std::uint64_t offset, std::uint64_t bytes) = 0;
  /// Reads the chunk and compares it. A damaged one is set aside, and is not stored from then on: whoever has it may
  /// put it again.
  virtual Result<pack::Soundness> examine(const object::ChunkId& id) = 0;
  /// At most `count_max` chunks from `from` on, which moves behind the last; none: that was all.
  virtual Result<std::vector<pack::StoredChunk>> chunks_from(pack::Place& from, std::size_t count_max) = 0;
  /// What counts against the vault's quota: stored bytes, and those in the queue, with kChunkOverheadBytes for each
  /// chunk.
  virtual std::uint64_t used_bytes() const = 0;
  /// Ends the queue: what is in it is stored, what comes later is refused. Returns when all was answered.
  virtual void close() = 0;
};

}  // namespace coffer::store
