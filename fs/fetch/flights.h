// Chunks on their way from the server: one request each, however many wait for it.
//
// A flight is `asked`, then `landed` when its bytes are here; it stays so, for readers, until land_next() has handed it
// to whoever keeps chunks. One that fails is forgotten at once, and may be asked for again.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <stop_token>
#include <unordered_map>

#include "common/base/bytes.h"
#include "common/base/mutex.h"
#include "common/base/result.h"
#include "common/object/ids.h"
#include "common/os/clock.h"
#include "fs/fetch/chunk_source.h"

namespace coffer::fetch {

/// Thread-safe. Answers hold a share of it: they may come after its owner is gone.
class Flights : public std::enable_shared_from_this<Flights> {
 public:
  using Sealed = std::shared_ptr<const Bytes>;

  /// `source` is not used after stop().
  Flights(ChunkSource& source, std::size_t ahead_bytes_max);

  /// The chunk if it has landed and is not kept yet; else nullptr.
  Sealed landed(const object::ChunkId& id) const;
  bool has(const object::ChunkId& id) const;

  /// Asks for the chunk unless it is on its way, and blocks until it has landed; before that, while more than 32 MiB
  /// have landed and are not kept yet. `on_asked` is called once in between, to ask for what shall come behind it.
  /// Errors as Fetcher says.
  Result<Sealed> fetch(const object::ChunkId& id, std::uint32_t sealed_bytes, os::SteadyTime deadline,
                       const std::stop_token& stop, const std::function<void()>& on_asked);
  /// Asks for a chunk that nobody waits for yet. False, and nothing happens, while too many bytes are on their way.
  bool ask_ahead(const object::ChunkId& id, std::uint32_t sealed_bytes, os::SteadyTime deadline);

  /// Blocks until a chunk has landed, calls `keep` with it and ends its flight. False once stopped.
  bool land_next(const std::function<void(const object::ChunkId&, const Sealed&)>& keep);
  /// Who waits gets Fault::stopped; nothing is asked any more.
  void stop();

  std::uint64_t fetched_chunks() const;
  std::uint64_t fetched_bytes() const;
  std::uint64_t asked_count() const;
  std::uint64_t flying_bytes() const;

 private:
  struct Flight {
    std::uint32_t bytes = 0;
    os::SteadyTime asked_at;
    std::optional<Result<Sealed>> outcome;
  };
  using FlightPointer = std::shared_ptr<Flight>;

  struct Joined {
    FlightPointer flight;  // nullptr where none may begin.
    bool is_new = false;   // Asked with the caller's own deadline.
  };

  Joined join(const object::ChunkId& id, std::uint32_t sealed_bytes, os::SteadyTime deadline, bool is_ahead)
      EXCLUDES(mutex_);
  Result<void> wait_for_room(const object::ChunkId& id, os::SteadyTime deadline, const std::stop_token& stop)
      EXCLUDES(mutex_);
  void answered(const object::ChunkId& id, const FlightPointer& flight, Result<Bytes> answer) EXCLUDES(mutex_);
  void adapt(os::SteadyTime asked_at, std::uint32_t bytes) REQUIRES(mutex_);

  ChunkSource& source_;
  const std::size_t ahead_bytes_max_;
  mutable Mutex mutex_;
  Condition changed_;
  std::unordered_map<object::ChunkId, FlightPointer> flights_ GUARDED_BY(mutex_);
  std::deque<std::pair<object::ChunkId, Sealed>> landed_ GUARDED_BY(mutex_);
  std::uint64_t flying_bytes_ GUARDED_BY(mutex_) = 0;  // Asked or landed.
  std::uint64_t landed_bytes_ GUARDED_BY(mutex_) = 0;  // Of these, landed.
  std::size_t ahead_bytes_ GUARDED_BY(mutex_);         // How much may fly before nobody asks ahead.
  bool stopped_ GUARDED_BY(mutex_) = false;
  std::uint64_t fetched_chunks_ GUARDED_BY(mutex_) = 0;
  std::uint64_t fetched_bytes_ GUARDED_BY(mutex_) = 0;
};

}  // namespace coffer::fetch
