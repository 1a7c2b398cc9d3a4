// Chunks in append-only pack files with an index that can be rebuilt from them; PACKS.md has the bytes.
//
// The server's store and the client's spool both stand on it. Folder: NNNNNNNN.pack (records, up to `pack_bytes_max`
// each), index.db (SQLite: it is brought in step with the packs at every open(), and made anew where it is damaged or
// gone) and lock.
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

/// Where a walk over all chunks stands, in the order in which they lie on the disk.
struct Place {
  std::uint64_t pack = 0;
  std::uint64_t offset = 0;
  friend bool operator==(const Place&, const Place&) = default;
};

/// What has become of a chunk.
enum class Soundness { good, absent, damaged };

/// What one walk over the packs found.
struct ScanReport {
  std::uint64_t chunks = 0;
  std::uint64_t bytes = 0;
  std::vector<object::ChunkId> bad;  ///< Their record is gone or, with read_data, their payload is not theirs.
  std::vector<std::string> damage;   ///< Sentences: what is no record, what the index lacks, missing packs.
};

/// Thread-safe. One process at a time may have a folder open (a lock file sees to it: Fault::refused).
///
/// Of concurrent append()s and remove()s one runs at a time; reads wait for none of them, and for no fsync.
class PackStore {
 public:
  /// Opens or makes the folder. Reads what the index has not seen, at most one pack after a kill -9, and cuts a torn
  /// tail off where the index knew the pack; else the tail is kept, and a new pack begun. All that is found afterwards
  /// is on stable storage.
  static Result<std::unique_ptr<PackStore>> open(os::Disk& disk, std::string folder, const PackOptions& options);
  /// As sync(), but a failure is only logged.
  ~PackStore();

  /// Appends a chunk whose id the caller has checked. It survives a kill -9 of this process; it is not on stable
  /// storage before sync(). Appending an id that is there already does nothing. Fault::full leaves the store as it was.
  /// Where a pack becomes full it waits for the fsync of that pack.
  Result<void> append(const object::ChunkId& id, ByteView bytes);
  /// Returns when every append() and remove() that returned before this call is on stable storage, and what was removed
  /// has given its disk space back; concurrent calls share one fsync. After an fsync has failed, this, append() and
  /// remove() fail until the store is opened anew, because what the kernel could not write may be lost. With chunks to
  /// remove it also fails where the index cannot be written (a full disk): what was appended is on stable storage then,
  /// and the next call tries again.
  Result<void> sync();
  /// An fsync has failed: the store accepts nothing until it is opened anew.
  bool is_broken() const;

  /// The chunk's length where it is there (appended, perhaps not synced).
  Result<std::optional<std::uint32_t>> find(const object::ChunkId& id);
  /// The bytes as stored, checked against their id: Fault::corrupt on a mismatch, and where the disk cannot read them
  /// (EIO) or has lost their pack. Absent: answer(ENOENT).
  Result<Bytes> read(const object::ChunkId& id);
  /// A part: `offset + bytes` within the chunk (else Fault::corrupt). It is of this chunk's record, or Fault::corrupt;
  /// whether its bytes are sound is for the caller to check, who knows what they are.
  Result<Bytes> read_range(const object::ChunkId& id, std::uint32_t offset, std::uint32_t bytes);
  /// Forgets the chunk; absent, it does nothing. With the next sync() the chunk is gone for good and its disk space
  /// given back (hole punching; a pack without chunks is deleted), after a crash before that it may be there again,
  /// whole. Calls sync() by itself when 64 MiB wait for it.
  Result<void> remove(const object::ChunkId& id);

  /// Reads the chunk and compares it with its id. A damaged one is set aside: its bytes are kept in
  /// `folder`/quarantine, for a person to look at, and the chunk is absent from then on, so that a good copy can be
  /// appended. One that the disk could not read stays `damaged`, in later processes too, until there is a copy or the
  /// disk can read it: then it is back.
  Result<Soundness> examine(const object::ChunkId& id);
  /// At most `count_max` chunks from `from` on, which moves behind the last one; those too that the disk could not
  /// read, and none that were never synced. None: that was all.
  Result<std::vector<StoredChunk>> chunks_from(Place& from, std::size_t count_max);

  /// Calls `each` for every chunk that is there, in no order; stops at its first Error. Chunks that come or go
  /// meanwhile may be among them or not. `each` may call this store.
  Result<void> for_each(const std::function<Result<void>(const StoredChunk&)>& each);
  std::uint64_t chunk_count() const;
  std::uint64_t stored_bytes() const;  ///< Payload bytes, without headers.

  /// Calls sync(), then walks every pack, compares it with the index and, with `read_data`, every payload with its id.
  /// Changes nothing. Others may use the store meanwhile.
  Result<ScanReport> check(bool read_data);
  /// Throws the index of `folder` away and makes it anew from the packs, without looking at payloads. The store must
  /// not be open (Fault::refused).
  static Result<ScanReport> rebuild_index(os::Disk& disk, const std::string& folder);

 private:
  struct State;
  explicit PackStore(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace coffer::pack
