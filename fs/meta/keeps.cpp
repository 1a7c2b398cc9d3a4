#include "fs/meta/keeps.h"

namespace coffer::meta {

std::vector<Range> Keeps::ranges(ChunkKey chunk) const {
  std::vector<Range> ranges;
  const auto found = chunks_.find(chunk);
  if (found == chunks_.end()) return ranges;
  for (const auto& [piece, count] : found->second.pieces) {
    ranges.push_back({piece.first, std::uint64_t{piece.first} + piece.second});
  }
  return ranges;
}

void Keeps::let_go(const PieceAt& piece) {
  const auto chunk = chunks_.find(piece.chunk);
  if (chunk == chunks_.end()) return;
  const auto kept = chunk->second.pieces.find({piece.chunk_offset, piece.bytes});
  if (kept == chunk->second.pieces.end()) return;
  if (--kept->second == 0) chunk->second.pieces.erase(kept);
  if (!chunk->second.whole && chunk->second.pieces.empty()) chunks_.erase(chunk);
}

void Keeps::let_go(ChunkKey chunk) {
  const auto found = chunks_.find(chunk);
  if (found == chunks_.end()) return;
  found->second.whole = false;
  if (found->second.pieces.empty()) chunks_.erase(found);
}

}  // namespace coffer::meta
