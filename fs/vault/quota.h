// What of a quota will be used up once all that is here is on the server. write(2) goes by it, and by no less than the
// server counts (common/object/quota.h): what is accepted is not refused when it is sent.
#pragma once

#include <cstdint>

#include "common/base/limits.h"
#include "common/object/quota.h"
#include "fs/upload/uploader.h"

namespace coffer::vault {

/// What the server does not have yet, as far as it is known from memory.
struct Unsent {
  std::uint64_t sealed_bytes = 0, sealed_chunks = 0;  ///< In the spool.
  std::uint64_t plain_bytes = 0;                      ///< Buffered, or being batched.
  std::uint64_t stored_chunks = 0;                    ///< On the server, and in no commit yet.
  std::uint64_t changes = 0;                          ///< Inodes and names that are owed, at most.
};

/// What counts of all that was sent since the start.
inline std::uint64_t counted_bytes(const upload::Progress& sent) {
  return object::counted_chunk_bytes(sent.bytes_sent, sent.chunks_sent) + sent.log_bytes;
}

/// No chunk is sealed from less but the open ones, of which there are at most so many.
inline constexpr std::uint64_t kFewPlainBytes = 128u << 10;
inline constexpr std::uint64_t kOpenChunksMax = 8;
/// What a commit holds of a chunk: its id, twice, and the extents of the pieces in it.
inline constexpr std::uint64_t kChunkInCommitBytes = 512;
/// What a change takes in a commit, which may be one for it alone. (Not of xattrs beyond some hundred bytes.)
inline constexpr std::uint64_t kChangeBytes = 768 + object::kCommitOverheadBytes;

/// At most so much, if nothing can be compressed and no content is known already.
constexpr std::uint64_t counted_at_most(const Unsent& unsent) {
  const std::uint64_t plain_chunks = unsent.plain_bytes == 0 ? 0 : kOpenChunksMax + unsent.plain_bytes / kFewPlainBytes;
  // Header, table and frames (fs/seal/FORMAT.md), and at most an eighth of padding.
  const std::uint64_t frames = unsent.plain_bytes / limits::kFramePlainBytesMax + plain_chunks;
  const std::uint64_t sealed_bytes = unsent.plain_bytes + plain_chunks * 192 + frames * 16;
  const std::uint64_t unsent_chunks = unsent.sealed_chunks + plain_chunks;
  return object::counted_chunk_bytes(unsent.sealed_bytes + sealed_bytes + sealed_bytes / 8, unsent_chunks) +
         (unsent_chunks + unsent.stored_chunks) * (object::kAddedOverheadBytes + kChunkInCommitBytes) +
         unsent.changes * kChangeBytes;
}

}  // namespace coffer::vault
