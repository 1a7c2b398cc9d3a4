#include "fs/meta/pieces_of_load.h"

#include <algorithm>
#include <cstdint>
#include <unordered_map>
#include <utility>

namespace coffer::meta {
namespace {

const std::string kInsertMany = insert_many("INSERT OR REPLACE INTO piece", "(?, ?, ?, ?)");

}  // namespace

Result<void> PiecesOfLoad::write(Connection& connection) {
  std::unordered_map<ChunkKey, bool> known;
  const auto is_known = [&](ChunkKey chunk) -> Result<bool> {
    const auto [at, is_first] = known.try_emplace(chunk, false);
    if (!is_first) return at->second;
    COFFER_TRY(at->second, connection.any("SELECT 1 FROM chunk WHERE key = ?", chunk));
    return at->second;
  };
  std::vector<std::uint32_t> order(pieces_.size());
  for (std::uint32_t i = 0; i < order.size(); ++i) order[i] = i;
  std::ranges::sort(order, [this](std::uint32_t a, std::uint32_t b) {
    const auto compared = pieces_[a].hash <=> pieces_[b].hash;
    return compared != 0 ? compared < 0 : a < b;
  });
  std::vector<Piece> batch;
  const auto write_batch = [&]() -> Result<void> {
    if (batch.size() == kRowsAtOnce) {
      COFFER_DO(connection.insert(kInsertMany, batch, [](const Piece& piece, const auto& bind) {
        bind(piece.hash, piece.at.chunk, piece.at.chunk_offset, piece.at.bytes);
      }));
    } else {
      for (const Piece& piece : batch) {
        COFFER_DO(connection.run("INSERT OR REPLACE INTO piece VALUES (?, ?, ?, ?)", piece.hash, piece.at.chunk,
                                 piece.at.chunk_offset, piece.at.bytes));
      }
    }
    batch.clear();
    return {};
  };
  for (std::size_t i = 0; i < order.size(); ++i) {
    const Piece& piece = pieces_[order[i]];
    if (i + 1 < order.size() && pieces_[order[i + 1]].hash == piece.hash) continue;
    COFFER_TRY(const bool stays, is_known(piece.at.chunk));
    if (stays) {
      batch.push_back(piece);
      if (batch.size() == kRowsAtOnce) COFFER_DO(write_batch());
    } else if (has_written_) {
      // It had taken the place of an earlier one.
      COFFER_DO(connection.run("DELETE FROM piece WHERE hash = ?", piece.hash));
    }
  }
  COFFER_DO(write_batch());
  std::exchange(pieces_, {}) = {};
  has_written_ = true;
  return {};
}

}  // namespace coffer::meta
