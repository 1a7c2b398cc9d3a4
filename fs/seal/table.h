// The table at the head of a sealed chunk: how long it is, and how each frame is packed. FORMAT.md has the bytes.
#pragma once

#include <cstddef>

#include "common/base/bytes.h"
#include "common/base/limits.h"
#include "common/base/result.h"
#include "common/crypto/aead.h"
#include "fs/seal/padme.h"
#include "fs/seal/sealed_chunk.h"

namespace coffer::seal {

inline constexpr std::size_t kFrameCountMax = limits::kChunkPlainBytesMax / limits::kFramePlainBytesMax;
/// plain_bytes, sealed_bytes, and four bytes for each frame. Always all of them: its length tells nothing.
inline constexpr std::size_t kTableBytes = 8 + 4 * kFrameCountMax;
/// Eight bytes that say what it is, and the salt.
inline constexpr std::size_t kTableOffset = 8 + 32;
inline constexpr std::size_t kFramesOffset = kTableOffset + kTableBytes + crypto::kAeadTagBytes;

constexpr std::size_t frame_count(std::size_t plain_bytes) {
  return (plain_bytes + limits::kFramePlainBytesMax - 1) / limits::kFramePlainBytesMax;
}

/// Of a chunk in which nothing can be compressed.
constexpr std::size_t sealed_bytes_max(std::size_t plain_bytes) {
  return padme(kFramesOffset + plain_bytes + frame_count(plain_bytes) * crypto::kAeadTagBytes);
}

/// kTableBytes long; the offsets and sealed_bytes of frames are not written, because they follow from the rest.
Bytes encode_table(const SealedHeader& header);

/// Everything but the salt. Fault::corrupt unless all fields are what a Sealer writes and fit one another.
Result<SealedHeader> decode_table(ByteView table);

}  // namespace coffer::seal
