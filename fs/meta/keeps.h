// Which chunks, and which bytes of them, are about to be used by an extent that is not recorded yet.
#pragma once

#include <map>
#include <span>
#include <vector>

#include "fs/meta/types.h"

namespace coffer::meta {

/// Not thread-safe.
class Keeps {
 public:
  void keep_chunk(ChunkKey chunk) { chunks_[chunk].whole = true; }
  void keep(const PieceAt& piece) { ++chunks_[piece.chunk].pieces[{piece.chunk_offset, piece.bytes}]; }
  bool has(ChunkKey chunk) const { return chunks_.contains(chunk); }
  std::vector<Range> ranges(ChunkKey chunk) const;

  /// One keep of this piece less.
  void let_go(const PieceAt& piece);
  void let_go(ChunkKey chunk);

 private:
  struct Kept {
    bool whole = false;
    std::map<std::pair<std::uint32_t, std::uint32_t>, std::size_t> pieces;
  };
  std::map<ChunkKey, Kept> chunks_;
};

}  // namespace coffer::meta
