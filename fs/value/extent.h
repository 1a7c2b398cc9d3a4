// Where the bytes of a file are.
#pragma once

#include <cstdint>
#include <optional>

#include "fs/value/ids.h"

namespace coffer {

/// The bytes from `begin` up to, not including, `end`; begin <= end. Of a file, or of a chunk's plain bytes.
struct Range {
  std::uint64_t begin = 0;
  std::uint64_t end = 0;

  std::uint64_t bytes() const { return end - begin; }
  friend bool operator==(const Range&, const Range&) = default;
};

/// `bytes` (at least 1) of a file from `at` on are the plain bytes of `chunk` from `chunk_offset` on. What no extent
/// covers is a hole and reads as zeros.
struct Extent {
  FileOffset at{};
  std::uint32_t bytes = 0;
  ChunkKey chunk{};
  std::uint32_t chunk_offset = 0;
  std::optional<PieceId> piece{};  ///< Only where the extent is a whole piece and it is newly recorded.

  FileOffset end() const { return FileOffset(at.value() + bytes); }
  friend bool operator==(const Extent&, const Extent&) = default;
};

}  // namespace coffer
