// Reads a folder of packs without its lock and its index: beside a process that uses it, and past what an index hides.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "common/base/result.h"
#include "common/object/ids.h"
#include "common/os/disk.h"

namespace coffer::pack {

struct BadChunk {
  object::ChunkId id;
  std::string what;  ///< "does not match its id in 00000003.pack"
};

struct PacksReport {
  std::uint64_t chunks = 0;
  std::uint64_t bytes = 0;             ///< Of these.
  std::vector<object::ChunkId> found;  ///< Stored, and good as far as it was looked; sorted.
  std::vector<BadChunk> bad;           ///< Of which there is no good copy either.
  std::vector<std::string> damage;     ///< Sentences about all else.
};

/// Which payloads are read and compared.
using Reads = std::function<bool(const object::ChunkId&)>;

/// Reads the headers of all records, and the payloads that `reads` asks for. A torn tail is no damage: it may be on its
/// way. Fails only where the folder cannot be listed.
Result<PacksReport> scan_packs(os::Disk& disk, const std::string& folder, const Reads& reads);

}  // namespace coffer::pack
