// Chunks in append-only pack files with an index that can be rebuilt from them; PACKS.md has the bytes.
//
// The server's store and the client's spool both stand on it. Folder: NNNNNNNN.pack (records, up to `pack_bytes_max`
// each) and index.db (SQLite, synchronous=OFF: it is brought in step with the packs at every open()).
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "common/base/bytes.h"
#include "common/base/result.h"
#include "common/object/ids.h"
#include "common/os/disk.h"

namespace coffer::pack {

struct PackOptions {
  std::uint64_t pack_bytes_max = 256u << 20;
};

struct StoredChunk {
  object::ChunkId id;
  std::uint32_t bytes;
};

/// What one walk over the packs found.
struct ScanReport {
  std::uint64_t chunks = 0;
  std::uint64_t bytes = 0;
  std::vector<object::ChunkId> bad;  ///< Payload does not match its id (only with read_data).
  std::vector<std::string> damage;   ///< Sentences: torn tails, records that cannot be read, packs without index rows.
};

/// Thread-safe. One process at a time may have a folder open (a lock file sees to it: Fault::refused).
class PackStore {
 public:
  /// Opens or makes the folder: finds a torn tail by scanning what the index has not seen and cuts it off.
  static Result<std::unique_ptr<PackStore>> open(os::Disk& disk, std::string folder, const PackOptions& options);
  ~PackStore();

  /// Appends a chunk whose id the caller has checked. Not on stable storage before sync(). Appending an id that is
  /// there already does nothing. Fault::full leaves the store as it was.
  Result<void> append(const object::ChunkId& id, ByteView bytes);
  /// Returns when every append() that returned before this call is on stable storage; concurrent calls share one fsync.
  Result<void> sync();

  /// The chunk's length where it is there (appended, perhaps not synced).
  Result<std::optional<std::uint32_t>> find(const object::ChunkId& id);
  /// The bytes as stored, checked against their id: Fault::corrupt on a mismatch. Absent: answer(ENOENT).
  Result<Bytes> read(const object::ChunkId& id);
  /// The same without the check, for ranges: `offset + bytes` within the chunk.
  Result<Bytes> read_range(const object::ChunkId& id, std::uint32_t offset, std::uint32_t bytes);
  /// Forgets the chunk and gives its disk space back (hole punching; a pack without chunks is deleted).
  Result<void> remove(const object::ChunkId& id);

  /// Calls `each` for every chunk in the index, in no order; stops at its first Error.
  Result<void> for_each(const std::function<Result<void>(const StoredChunk&)>& each);
  std::uint64_t chunk_count() const;
  std::uint64_t stored_bytes() const;  ///< Payload bytes in the index.

  /// Walks every pack, compares it with the index and, with `read_data`, every payload with its id.
  Result<ScanReport> check(bool read_data);
  /// Throws the index of `folder` away and makes it anew from the packs. The store must not be open.
  static Result<ScanReport> rebuild_index(os::Disk& disk, const std::string& folder);

 private:
  struct State;
  explicit PackStore(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace coffer::pack
