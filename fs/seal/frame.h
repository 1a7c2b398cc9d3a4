// One frame: its plain bytes made smaller, and back.
#pragma once

#include <cstddef>
#include <cstdint>

#include "common/base/bytes.h"
#include "common/base/result.h"
#include "fs/seal/compression.h"

namespace coffer::seal {

/// How a frame's bytes are packed; the numbers stand in sealed chunks.
enum class FrameCodec : std::uint8_t { stored = 0, zstd = 1, zlib = 2 };
inline constexpr std::uint8_t kFrameCodecMax = 2;

struct Packed {
  FrameCodec codec;
  std::size_t bytes;
};

/// Packs `plain` into `into`, which is as long as `plain`, as `compression` says. Where that would not pay (it must
/// save at least one byte in 64), `into` is left in any state and {stored, plain.size()} returned. Thread-safe.
Packed pack(ByteView plain, const Compression& compression, MutableByteView into);

/// Fills `into` exactly; Fault::corrupt if `packed` gives anything else. Thread-safe.
Result<void> unpack(FrameCodec codec, ByteView packed, MutableByteView into);

}  // namespace coffer::seal
