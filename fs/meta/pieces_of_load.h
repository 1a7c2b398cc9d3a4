// The pieces of a tree that is being loaded (load.h), until they are written in the order of their hashes.
//
// A hash is random, so each piece that is written when its extent comes takes another page of the table; sorted, they
// fill one page after the other. Two thirds of what an extent costs are saved by it.
#pragma once

#include <cstddef>
#include <vector>

#include "common/base/result.h"
#include "fs/meta/connection.h"
#include "fs/meta/types.h"

namespace coffer::meta {

/// Not thread-safe.
class PiecesOfLoad {
 public:
  void put(const PieceId& piece, const PieceAt& at) { pieces_.push_back({piece, at}); }
  std::size_t count() const { return pieces_.size(); }
  /// Writes what is kept, of each hash the last, where its chunk is still known; and forgets it.
  Result<void> write(Connection& connection);
  /// From then on, a chunk that goes has its pieces in the table.
  bool has_written() const { return has_written_; }

 private:
  struct Piece {
    PieceId hash;
    PieceAt at;
  };
  std::vector<Piece> pieces_;
  bool has_written_ = false;
};

}  // namespace coffer::meta
