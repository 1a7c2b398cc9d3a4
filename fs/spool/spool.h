// Sealed chunks on the local disk: first those that are owed to the server, then a cache of what was sent or read.
//
// Chunks lie in packs (common/pack, PACKS.md) of 64 MiB. What is owed is never evicted; the rest goes, least recently
// used first, when the budget is used up, down to nine tenths of it. Which chunks are owed, only the tree knows:
// open() asks for each chunk that it finds.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <stop_token>
#include <string>

#include "common/base/bytes.h"
#include "common/base/result.h"
#include "common/object/ids.h"
#include "common/os/clock.h"
#include "common/os/disk.h"
#include "fs/seal/sealed_chunk.h"

namespace coffer::spool {

inline constexpr std::uint64_t kSpoolPackBytesMax = 64u << 20;
inline constexpr std::uint64_t kSpoolBytesMaxDefault = 10ull << 30;

struct SpoolOptions {
  std::uint64_t bytes_max = kSpoolBytesMaxDefault;  ///< Sealed bytes, owed and cached; see default_bytes_max().
  std::uint64_t pack_bytes_max = kSpoolPackBytesMax;
  std::uint64_t disk_bytes_spared = 64u << 20;  ///< Free disk that is left to others, the tree's database among them.
  /// Tree::power_safe(). Chunks go only after it: after a power cut the tree may be one that still names them. Called
  /// with no lock of the Spool held. Unset: they go at once.
  std::function<Result<void>()> settle_tree = nullptr;
  /// Told when a chunk could not be written or removed, or the packs not be synced, whoever asked for it.
  std::function<void(const Error&)> on_failure = nullptr;
};

/// 10 GiB, or a fifth of what is free on the disk of `folder` where that is less, but at least 256 MiB.
Result<std::uint64_t> default_bytes_max(os::Disk& disk, const std::string& folder);

/// What the tree says of a chunk.
enum class Standing {
  unknown,  ///< No file has it: dropped.
  owed,     ///< The server has not stored it yet: kept whatever comes.
  cached,   ///< The server has it: kept while there is room.
};

/// A sealed chunk that survives kill -9. Only a Spool makes one.
class SpooledChunk {
 public:
  const object::ChunkId& id() const { return id_; }
  std::uint32_t sealed_bytes() const { return sealed_bytes_; }
  std::uint32_t plain_bytes() const { return plain_bytes_; }

 private:
  friend class Spool;
  SpooledChunk(const object::ChunkId& id, std::uint32_t sealed_bytes, std::uint32_t plain_bytes)
      : id_(id), sealed_bytes_(sealed_bytes), plain_bytes_(plain_bytes) {}

  object::ChunkId id_;
  std::uint32_t sealed_bytes_;
  std::uint32_t plain_bytes_;
};

/// Thread-safe. One process at a time has a folder open (Fault::refused). Keeps a reference to `disk`. Chunks lie in
/// `folder`/packs; SPOOL.md says what else is there.
class Spool {
 public:
  using StandingOf = std::function<Result<Standing>(const object::ChunkId&)>;

  /// Opens or makes the folder, asks `standing_of` for each chunk in it and drops those that are unknown.
  static Result<std::unique_ptr<Spool>> open(os::Disk& disk, const std::string& folder, const SpoolOptions& options,
                                             const StandingOf& standing_of);
  ~Spool();

  /// Keeps an owed chunk. Fault::full where owed chunks alone use up the budget, or the disk is full; nothing is
  /// changed then.
  Result<SpooledChunk> put(const seal::SealedChunk& chunk);
  /// Keeps a chunk that came from the server, as cache; whoever got it has compared it with its id. Fault::full where
  /// there is no room for it. Does nothing for a chunk that is there.
  Result<void> put_fetched(const object::ChunkId& id, ByteView sealed);

  /// The sealed bytes: those that were put last as they were made, others checked against `id` (Fault::corrupt).
  /// Absent: answer(ENOENT).
  Result<std::shared_ptr<const Bytes>> get(const object::ChunkId& id);
  /// A part of them, unchecked (a Sealer checks each frame). Absent: answer(ENOENT); outside: Fault::corrupt.
  Result<Bytes> get_range(const object::ChunkId& id, std::uint32_t offset, std::uint32_t bytes);
  bool contains(const object::ChunkId& id) const;

  /// The server has lost it: from now on it is kept whatever comes, also where it was about to be evicted. Nothing
  /// where it is absent.
  void owe(const object::ChunkId& id);
  /// The server has stored it: from now on it is cache. Nothing where it is absent.
  void release(const object::ChunkId& id);
  /// It is damaged, or nobody was told of it: gone at once, owed or not. Nothing where it is absent.
  Result<void> drop(const object::ChunkId& id);
  /// The tree no longer names it: as if absent from now on. Its bytes go, the tree being safe, when 64 MiB wait for it
  /// or room is needed.
  Result<void> drop_unnamed(const object::ChunkId& id);
  /// Drops all that is not owed.
  Result<void> clear();
  /// Returns when all that was put and not released, and then all that the tree was told before, is safe whenever the
  /// power goes.
  /// `kept_elsewhere`: chunks whose bytes the tree has itself. For them alone nothing is synced here.
  Result<void> settle(std::span<const object::ChunkId> kept_elsewhere = {});

  std::uint64_t used_bytes() const;  ///< Owed and cached.
  std::uint64_t owed_bytes() const;
  std::uint64_t owed_chunks() const;
  std::uint64_t bytes_max() const;
  /// Sealed bytes that could be put now, cached ones making way: what the budget and the disk leave. Where the disk has
  /// plenty more than `needed` (disk_room.h), as of a moment ago.
  std::uint64_t free_bytes(std::uint64_t needed = 0) const;
  /// Blocks until free_bytes() >= `bytes`: Fault::full at `deadline`, Fault::stopped on `stop`. At once where it is so;
  /// then the disk is asked only where room is short.
  Result<void> wait_for_room(std::uint64_t bytes, os::SteadyTime deadline, const std::stop_token& stop);

 private:
  struct State;
  explicit Spool(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace coffer::spool
