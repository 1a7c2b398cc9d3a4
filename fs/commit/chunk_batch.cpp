#include "fs/commit/chunk_batch.h"

#include <algorithm>
#include <utility>

#include "common/base/check.h"
#include "common/base/limits.h"
#include "common/base/log.h"
#include "fs/seal/table.h"

namespace coffer::commit {
namespace {

/// Between these a plain chunk is full as soon as its padding is short, if nothing of it can be compressed; as it grows
/// by whole pieces, that is what its length can be chosen for. Of random content the padding is 0.6 % then, and 1.4 %
/// where each chunk is full at kChunkPlainBytesTarget.
constexpr std::size_t kFullBytesMin = limits::kChunkPlainBytesTarget / 8 * 5;
constexpr std::size_t kFullBytesMax = limits::kChunkPlainBytesTarget / 4 * 7;
constexpr std::size_t kShortPaddingShare = 160;

static_assert(kFullBytesMax + limits::kPieceBytesMax <= limits::kChunkPlainBytesMax);

bool is_full(std::size_t plain_bytes) {
  if (plain_bytes < kFullBytesMin) return false;
  return plain_bytes >= kFullBytesMax ||
         seal::sealed_bytes_max(plain_bytes) - plain_bytes <= plain_bytes / kShortPaddingShare;
}

}  // namespace

ChunkBatch::ChunkBatch(const Parts& parts) : parts_(parts) {}

ChunkBatch::~ChunkBatch() {
  close_group();
  if (is_recorded_) return;
  for (const Planned& planned : planned_) {
    if (!planned.chunk_index) let_go(planned.extent);
  }
  for (const meta::PieceAt& piece : batched_) parts_.tree.let_go(piece);
  for (const ChunkKey key : keys_) parts_.tree.let_go(key);
  for (std::size_t index = 0; index < chunks_.size(); ++index) {
    const auto& spooled = chunks_[index].wait();
    if (!spooled) continue;
    if (auto dropped = parts_.spool.drop(spooled->id()); !dropped) {
      log::warn("spool drop failed", {{"error", dropped.error().what}});
    }
  }
}

void ChunkBatch::let_go(const Extent& found) {
  parts_.tree.let_go(meta::PieceAt{found.chunk, found.chunk_offset, found.bytes});
}

Result<void> ChunkBatch::add(std::span<const Piece> pieces) {
  std::vector<ByteView> contents;
  for (const Piece& piece : pieces) {
    if (piece.bytes.size() >= kFoundPieceBytesMin) contents.push_back(piece.bytes);
  }
  const std::vector<chunk::PieceHash> names = parts_.pieces.hash_each(contents);
  auto name = names.begin();
  for (const Piece& piece : pieces) {
    COFFER_DO(add(piece, piece.bytes.size() >= kFoundPieceBytesMin ? std::optional(*name++) : std::nullopt));
  }
  return {};
}

Result<void> ChunkBatch::add(const Piece& piece, const std::optional<chunk::PieceHash>& name) {
  const std::size_t piece_bytes = piece.bytes.size();
  Planned planned;
  planned.extent.at = piece.at;
  planned.extent.bytes = static_cast<std::uint32_t>(piece_bytes);
  if (name) {
    planned.extent.piece = PieceId(name->array());
    if (const auto own = own_pieces_.find(*name); own != own_pieces_.end()) {
      planned.extent.chunk_offset = planned_[own->second].extent.chunk_offset;
      planned.chunk_index = planned_[own->second].chunk_index;
      planned_.push_back(planned);
      return {};
    }
    COFFER_TRY(const std::optional<meta::PieceAt> found, parts_.tree.find_piece(*planned.extent.piece));
    if (found && found->bytes != piece_bytes) parts_.tree.let_go(*found);
    if (found && found->bytes == piece_bytes) {
      planned.extent.chunk = found->chunk;
      planned.extent.chunk_offset = found->chunk_offset;
      planned_.push_back(planned);
      return {};
    }
    own_pieces_.emplace(*name, planned_.size());
  }
  planned.extent.chunk_offset = static_cast<std::uint32_t>(filling_.size());
  planned.chunk_index = chunks_.size();
  planned_.push_back(planned);
  if (filling_.empty()) filling_.reserve(std::min(piece_bytes * 8, limits::kChunkPlainBytesTarget * 2));
  append(filling_, piece.bytes);
  new_bytes_ += piece_bytes;
  if (is_full(filling_.size())) seal_filling();
  return {};
}

/// Seals in the pool what has been gathered.
void ChunkBatch::seal_filling() {
  if (!group_) group_ = std::make_shared<ChunkGroup>(parts_.sealer, parts_.spool);
  const Sealing sealing{group_, group_->add()};
  chunks_.push_back(sealing);
  auto plain = std::make_shared<Bytes>(std::exchange(filling_, {}));
  parts_.pool.run([sealing, plain] { sealing.group->seal(sealing.index, *plain); });
  if (sealing.index + 1 == ChunkGroup::kChunksMax) close_group();
}

void ChunkBatch::close_group() {
  if (group_) std::exchange(group_, nullptr)->close();
}

/// Seals on this thread what has been gathered: a little, for which no other needs to wake.
void ChunkBatch::seal_here() {
  const Sealing sealing{std::make_shared<ChunkGroup>(parts_.sealer, parts_.spool), 0};
  COFFER_CHECK(sealing.group->add() == sealing.index);
  chunks_.push_back(sealing);
  sealing.group->close();
  const Bytes plain = std::exchange(filling_, {});
  sealing.group->seal(sealing.index, plain);
}

/// Takes back what lies at or behind the first piece of the chunk that is not full.
void ChunkBatch::leave_filling() {
  const auto first = std::find_if(planned_.begin(), planned_.end(),
                                  [&](const Planned& planned) { return planned.chunk_index == chunks_.size(); });
  for (auto planned = first; planned != planned_.end(); ++planned) {
    if (!planned->chunk_index) let_go(planned->extent);
  }
  planned_.erase(first, planned_.end());
  filling_.clear();
}

Result<void> ChunkBatch::wait_for_sealing() {
  Result<void> first_failure;
  for (const Sealing& sealing : chunks_) {
    const auto& outcome = sealing.wait();
    if (!outcome && first_failure) first_failure = Error(outcome.error());
  }
  return first_failure;
}

/// Puts the last rest into the open chunk.
Result<void> ChunkBatch::batch_filling() {
  std::vector<Range> pieces;  // One for each extent: a repetition uses up a keep of its own.
  std::vector<Planned*> in_rest;
  for (Planned& planned : planned_) {
    if (planned.chunk_index != chunks_.size()) continue;
    const std::uint64_t begin = planned.extent.chunk_offset;
    pieces.push_back({begin, begin + planned.extent.bytes});
    in_rest.push_back(&planned);
  }
  COFFER_TRY(const meta::PieceAt at, parts_.open_chunks.append(filling_, pieces));
  for (Planned* planned : in_rest) {
    planned->extent.chunk = at.chunk;
    planned->extent.chunk_offset += at.chunk_offset;
    batched_.push_back({at.chunk, planned->extent.chunk_offset, planned->extent.bytes});
  }
  return {};
}

Result<std::vector<Extent>> ChunkBatch::finish(Rest rest, Priority priority) {
  // What is left is cut and hashed a second time: no more than a little of it.
  if (filling_.size() >= kRestBytesMin) seal_filling();
  close_group();
  if (!filling_.empty() && rest == Rest::leave) leave_filling();
  if (!filling_.empty() && rest == Rest::seal && parts_.open_chunks.is_empty()) seal_here();
  COFFER_DO(wait_for_sealing());
  if (!filling_.empty()) COFFER_DO(batch_filling());
  for (const Sealing& sealing : chunks_) {
    const spool::SpooledChunk& spooled = *sealing.wait();
    COFFER_TRY(const ChunkKey key,
               parts_.tree.add_spooled_chunk(spooled.id(), spooled.sealed_bytes(), spooled.plain_bytes(), priority));
    keys_.push_back(key);
  }
  std::vector<Extent> extents;
  extents.reserve(planned_.size());
  for (Planned& planned : planned_) {
    if (planned.chunk_index && *planned.chunk_index < chunks_.size()) {
      planned.extent.chunk = keys_[*planned.chunk_index];
    }
    extents.push_back(planned.extent);
  }
  return extents;
}

void ChunkBatch::recorded() { is_recorded_ = true; }

}  // namespace coffer::commit
