// Chunks that have not come in whole: what a broken connection left of them, so that their senders go on at the byte.
//
// In memory alone: it spares a sender what he had sent already, and costs no disk a write that is worth nothing once
// the rest is there. A server that is started again has none, and says so when it is asked.
//
// Bytes belong to the client that sent them, in the vault that he sent them to: nobody else learns of them, goes on
// from them, or is made to wait for their hash. What is kept is bounded for each client and in total; the oldest goes
// first, in total of the client that keeps the most, so that one client's broken connections cost the others nothing.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <list>
#include <map>
#include <memory>
#include <optional>
#include <span>

#include "common/base/bytes.h"
#include "common/base/mutex.h"
#include "common/crypto/hash.h"
#include "common/object/ids.h"
#include "common/os/clock.h"

namespace coffer::store {

struct PartialOptions {
  std::uint64_t client_bytes_max = 32u << 20;  ///< What a client has in flight at most.
  std::uint64_t total_bytes_max = 256u << 20;
  std::chrono::minutes lifetime{60};  ///< A link that is away for longer loses at most a window's worth.
};

struct PartialKey {
  object::ClientId client;
  object::VaultId vault;
  object::ChunkId chunk;
  friend auto operator<=>(const PartialKey&, const PartialKey&) = default;
};

class PartialChunks;

/// One chunk while it comes in. Its receiver alone uses it, one call at a time; what it has received others may see.
/// When it goes, what came in is kept, unless discard() was called.
class IncomingChunk {
 public:
  IncomingChunk(std::shared_ptr<PartialChunks> partials, const PartialKey& key, std::uint64_t chunk_bytes);
  ~IncomingChunk();
  IncomingChunk(const IncomingChunk&) = delete;
  IncomingChunk& operator=(const IncomingChunk&) = delete;

  /// For the bytes that are missing; empty once it is whole.
  MutableByteView room() { return MutableByteView(*bytes_).subspan(received_); }
  /// The first `bytes` of room() were filled.
  void add(std::size_t bytes);
  std::uint64_t received() const { return received_; }
  bool is_whole() const { return received_ == bytes_->size(); }
  /// Of a whole chunk.
  ByteView bytes() const { return *bytes_; }
  object::ChunkId digest();
  /// All bytes, which live on with whoever has them.
  std::shared_ptr<const Bytes> whole() const;
  /// Nothing is kept but the first `good_until` bytes.
  void discard(std::uint64_t good_until = 0);

 private:
  friend class PartialChunks;
  void begin_with(ByteView prefix, std::optional<crypto::Sha256> hash);

  const std::shared_ptr<PartialChunks> partials_;
  const PartialKey key_;
  const std::shared_ptr<Bytes> bytes_;       ///< Of the whole chunk's length; never moved.
  std::atomic<std::uint64_t> received_ = 0;  ///< Bytes before it do not change any more.
  std::optional<crypto::Sha256> hash_;       ///< Of the bytes before received_; none once finished.
};

/// Thread-safe; never waits for a disk. Made with std::make_shared.
class PartialChunks : public std::enable_shared_from_this<PartialChunks> {
 public:
  explicit PartialChunks(os::Clock& clock, PartialOptions options = {}) : clock_(clock), options_(options) {}

  /// Bytes of the chunk from its start on that are here: kept, or coming in on a connection that may be dead already.
  std::uint64_t received(const PartialKey& key);
  /// A chunk that comes in from `offset` on; nullptr where its first `offset` bytes are not here, or are of a chunk of
  /// another length, which are thrown away then.
  std::shared_ptr<IncomingChunk> begin(const PartialKey& key, std::uint64_t chunk_bytes, std::uint64_t offset);
  /// The chunk is stored, or its bytes are known to be bad.
  void drop(const PartialKey& key);
  /// Lets go of what nobody came back for.
  void expire();

  std::uint64_t kept_bytes() const;  ///< With what keeping each takes.
  std::uint64_t kept_bytes(const object::ClientId& client) const;

 private:
  friend class IncomingChunk;
  struct Kept {
    PartialKey key;
    std::uint64_t chunk_bytes = 0;
    Bytes bytes;
    std::optional<crypto::Sha256> hash;  ///< Of `bytes`.
    os::SteadyTime since;
    std::uint64_t cost() const;
  };
  using Place = std::list<Kept>::iterator;

  void ended(IncomingChunk& incoming);
  void keep(Kept kept) REQUIRES(mutex_);
  Kept remove(Place place) REQUIRES(mutex_);
  void remove_expired() REQUIRES(mutex_);
  void remove_oldest_of(const object::ClientId& client) REQUIRES(mutex_);

  os::Clock& clock_;
  const PartialOptions options_;

  mutable Mutex mutex_;
  std::list<Kept> kept_ GUARDED_BY(mutex_);  ///< Oldest first.
  std::map<PartialKey, Place> by_key_ GUARDED_BY(mutex_);
  std::map<object::ClientId, std::uint64_t> client_bytes_ GUARDED_BY(mutex_);
  std::uint64_t kept_bytes_ GUARDED_BY(mutex_) = 0;
  std::multimap<PartialKey, IncomingChunk*> coming_in_ GUARDED_BY(mutex_);
};

}  // namespace coffer::store
