// Plain bytes of open chunks on the local disk, encrypted, so that a small file's close() costs one append.
//
// One file for each open chunk, staging/NNN with the chunk's key in decimal; SPOOL.md has the bytes. A record that was
// appended survives kill -9, and a torn last one is left out, as the tree never heard of it. The file goes when
// the chunk is sealed and spooled.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "common/base/bytes.h"
#include "common/base/mutex.h"
#include "common/base/result.h"
#include "common/crypto/wipe.h"
#include "common/os/disk.h"
#include "common/os/random.h"
#include "fs/value/ids.h"

namespace coffer::spool {

/// What a staging file holds.
struct Staged {
  Bytes plain;              ///< From the chunk's first byte to its last appended one.
  bool is_damaged = false;  ///< Ends at a record that was changed since it was written; what comes behind is lost.
};

/// Reads the bytes of one staging file; for recovery, inspection and fuzzing. `file` may come from anyone:
/// Fault::corrupt where its head is not one of ours.
Result<Staged> decode_staging(ByteView file, ChunkKey chunk, const crypto::Secret& staging_key);

/// Plain bytes in the staging file of `chunk` in `folder`, as its records say; needs no key, and checks nothing. 0
/// where there is no such file.
Result<std::uint64_t> staged_bytes(os::Disk& disk, const std::string& folder, ChunkKey chunk);

/// Thread-safe; appends to one chunk come from one thread at a time. Keeps references to `disk` and `random`.
class Staging {
 public:
  /// Opens or makes the folder, which holds nothing else. `staging_key` is VaultKey::derive(kStagingLabel).
  static Result<std::unique_ptr<Staging>> open(os::Disk& disk, const std::string& folder, crypto::Secret staging_key,
                                               os::Random& random);
  ~Staging();

  /// Appends plain bytes that begin at `offset` of the chunk, which is where those before ended. Not synced. After a
  /// failure the record counts as absent, and the chunk takes no more.
  Result<void> append(ChunkKey chunk, std::uint32_t offset, ByteView plain);
  /// The chunks that have a file, ascending.
  Result<std::vector<ChunkKey>> chunks() const;
  /// Fault::corrupt where the file is not readable at all.
  Result<Staged> read(ChunkKey chunk) const;
  /// Nothing where there is no file.
  Result<void> remove(ChunkKey chunk);

 private:
  struct Appender;
  Staging(os::Disk& disk, std::string folder, crypto::Secret staging_key, os::Random& random);
  std::string path_of(ChunkKey chunk) const;
  Result<std::shared_ptr<Appender>> appender(ChunkKey chunk) EXCLUDES(mutex_);

  os::Disk& disk_;
  std::string folder_;
  crypto::Secret key_;
  os::Random& random_;
  mutable Mutex mutex_;
  std::unordered_map<ChunkKey, std::shared_ptr<Appender>> appenders_ GUARDED_BY(mutex_);
};

}  // namespace coffer::spool
