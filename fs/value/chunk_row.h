// A chunk as this client's tree knows it.
#pragma once

#include <cstdint>

#include "common/object/ids.h"
#include "fs/value/ids.h"

namespace coffer {

/// Allowed steps: open → spooled → stored → committed; stored → spooled when the server has lost it.
enum class ChunkState {
  open = 0,       ///< Being batched: its bytes are in the staging file, it has no id yet.
  spooled = 1,    ///< Sealed, in the spool, owed to the server.
  stored = 2,     ///< The server has it.
  committed = 3,  ///< A commit names it.
};

struct ChunkRow {
  ChunkKey key{};
  ChunkState state = ChunkState::open;
  object::ChunkId id{};  ///< Zeros while open.
  std::uint32_t sealed_bytes = 0;
  std::uint32_t plain_bytes = 0;
};

/// Which owed chunk goes first. What has been owed for over ten minutes goes before all of them.
enum class Priority {
  waiting = 0,  ///< Someone waits in fsync.
  tree = 1,
  small = 2,
  high = 3,
  normal = 4,
  low = 5,
  bulk = 6,
};

}  // namespace coffer
