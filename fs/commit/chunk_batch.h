// The pieces of one commit on their way to the spool: found in the vault, or gathered into plain chunks that are sealed
// in parallel while the next ones are cut.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <unordered_map>
#include <vector>

#include "common/base/bytes.h"
#include "common/base/result.h"
#include "fs/chunk/piece_hash.h"
#include "fs/commit/chunk_group.h"
#include "fs/commit/open_chunks.h"
#include "fs/commit/range_cutter.h"
#include "fs/commit/sealing_pool.h"
#include "fs/meta/tree.h"
#include "fs/seal/sealer.h"
#include "fs/spool/spool.h"
#include "fs/value/extent.h"

namespace coffer::commit {

/// A last rest below this goes to the open chunk; from here on it is a chunk of its own.
inline constexpr std::size_t kRestBytesMin = 512u << 10;
/// Shorter pieces are not looked up: their row in the piece table would be as long as they are.
inline constexpr std::size_t kFoundPieceBytesMin = 512;

/// What becomes of the last plain chunk where it is not full.
enum class Rest {
  commit,  ///< Sealed, or batched with other small content: all of it is recorded.
  seal,    ///< The same, and sealed at once where there is nothing to batch it with: somebody waits for it.
  leave,   ///< More is about to follow: its pieces stay in the buffer and begin the next commit.
};

/// Used by one thread, once: add()…, finish(), and then recorded() or the destructor, which undoes it.
class ChunkBatch {
 public:
  struct Parts {
    meta::Tree& tree;
    spool::Spool& spool;
    const seal::Sealer& sealer;
    const chunk::PieceHasher& pieces;
    SealingPool& pool;
    OpenChunks& open_chunks;
  };

  explicit ChunkBatch(const Parts& parts);
  ~ChunkBatch();
  ChunkBatch(const ChunkBatch&) = delete;
  ChunkBatch& operator=(const ChunkBatch&) = delete;

  /// Adds pieces of 1 … kPieceBytesMax bytes.
  Result<void> add(std::span<const Piece> pieces);
  /// Plain bytes of chunks that the vault does not have.
  std::size_t new_bytes() const { return new_bytes_; }

  /// Waits for the sealing, and gives the extents in the order of add(). Everything they name is in the spool, or
  /// staged, and kept by the tree until it is recorded. A failure of any chunk is the failure of all.
  Result<std::vector<Extent>> finish(Rest rest, Priority priority);
  /// Some of the extents lie in sealed chunks; all others in the open one.
  bool has_chunks() const { return batched_.size() < planned_.size(); }
  /// The tree has recorded the extents.
  void recorded();

 private:
  struct Sealing {
    std::shared_ptr<ChunkGroup> group;  // The pool works on it, and so it may outlive the batch.
    std::size_t index;
    const Result<spool::SpooledChunk>& wait() const { return group->wait(index); }
  };
  struct Planned {
    Extent extent;
    std::optional<std::size_t> chunk_index;  // In chunks_, or chunks_.size() for the one being filled; else found.
  };

  Result<void> add(const Piece& piece, const std::optional<chunk::PieceHash>& name);
  void seal_filling();
  void seal_here();
  void close_group();
  void leave_filling();
  Result<void> wait_for_sealing();
  Result<void> batch_filling();
  void let_go(const Extent& found);

  const Parts parts_;
  std::vector<Planned> planned_;
  std::unordered_map<chunk::PieceHash, std::size_t>
      own_pieces_;                      // Index in planned_ of a piece that is in no tree yet.
  Bytes filling_;                       // The plain chunk that takes the next new piece.
  std::vector<Sealing> chunks_;         // Full ones.
  std::shared_ptr<ChunkGroup> group_;   // The one that takes the next full chunk; may be null.
  std::vector<ChunkKey> keys_;          // Of chunks_, once the tree knows them.
  std::vector<meta::PieceAt> batched_;  // Kept ranges of the open chunk.
  std::size_t new_bytes_ = 0;
  bool is_recorded_ = false;
};

}  // namespace coffer::commit
