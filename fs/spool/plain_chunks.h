// Plain bytes of chunks that are still open: whoever batches them shows them to whoever reads.
#pragma once

#include <cstdint>

#include "common/base/bytes.h"
#include "common/base/result.h"
#include "fs/value/ids.h"

namespace coffer::spool {

/// Thread-safe.
class PlainChunks {
 public:
  virtual ~PlainChunks() = default;

  /// Fills `into` from `offset` on and returns true; false where the chunk is not open (any more): then the tree
  /// already says that it is spooled, and the spool has it. Fault::corrupt for a range outside the chunk.
  virtual Result<bool> read_open(ChunkKey chunk, std::uint32_t offset, MutableByteView into) = 0;
};

}  // namespace coffer::spool
