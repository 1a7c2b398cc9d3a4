#include "fs/seal/table.h"

#include <algorithm>

#include "fs/seal/frame.h"
#include "fs/seal/padme.h"

namespace coffer::seal {
namespace {

using limits::kChunkPlainBytesMax;
using limits::kFramePlainBytesMax;

// The lower 24 bits of a frame's entry are its packed bytes, the upper 8 its codec.
constexpr unsigned kCodecShift = 24;
static_assert(kFramePlainBytesMax < 1u << kCodecShift);

Error damaged(const char* what) { return {Fault::corrupt, 0, what}; }

Result<SealedFrame> decode_frame(std::uint32_t entry, std::uint32_t plain_bytes) {
  SealedFrame frame{};
  frame.plain_bytes = plain_bytes;
  frame.packed_bytes = entry & ((1u << kCodecShift) - 1);
  frame.codec = static_cast<std::uint8_t>(entry >> kCodecShift);
  if (frame.codec > kFrameCodecMax) return damaged("frame of an unknown codec");
  const bool is_stored = frame.codec == static_cast<std::uint8_t>(FrameCodec::stored);
  const bool fits =
      is_stored ? frame.packed_bytes == plain_bytes : frame.packed_bytes > 0 && frame.packed_bytes < plain_bytes;
  if (!fits) return damaged("frame of an impossible length");
  return frame;
}

/// Gives each frame its place, and the last one all that is left.
Result<void> place_frames(SealedHeader& header) {
  std::uint32_t at = kFramesOffset;
  for (SealedFrame& frame : header.frames) {
    frame.sealed_offset = at;
    frame.sealed_bytes = frame.packed_bytes + static_cast<std::uint32_t>(crypto::kAeadTagBytes);
    at += frame.sealed_bytes;
  }
  if (header.sealed_bytes != padme(at)) return damaged("sealed chunk of an impossible length");
  header.frames.back().sealed_bytes += header.sealed_bytes - at;
  return {};
}

}  // namespace

Bytes encode_table(const SealedHeader& header) {
  Bytes table;
  table.reserve(kTableBytes);
  Writer writer(table);
  writer.put(header.plain_bytes);
  writer.put(header.sealed_bytes);
  for (const SealedFrame& frame : header.frames) {
    writer.put(frame.packed_bytes | std::uint32_t{frame.codec} << kCodecShift);
  }
  table.resize(kTableBytes, std::byte{0});
  return table;
}

Result<SealedHeader> decode_table(ByteView table) {
  Reader reader(table);
  SealedHeader header;
  COFFER_TRY(header.plain_bytes, reader.get<std::uint32_t>());
  COFFER_TRY(header.sealed_bytes, reader.get<std::uint32_t>());
  if (header.plain_bytes == 0 || header.plain_bytes > kChunkPlainBytesMax) {
    return damaged("plain chunk of an impossible length");
  }
  for (std::uint32_t at = 0; at < header.plain_bytes; at += kFramePlainBytesMax) {
    COFFER_TRY(const std::uint32_t entry, reader.get<std::uint32_t>());
    const auto plain_bytes = std::min<std::uint32_t>(kFramePlainBytesMax, header.plain_bytes - at);
    COFFER_TRY(SealedFrame frame, decode_frame(entry, plain_bytes));
    frame.plain_offset = at;
    header.frames.push_back(frame);
  }
  const bool is_clean = std::ranges::all_of(reader.rest(), [](std::byte b) { return b == std::byte{0}; });
  if (table.size() != kTableBytes || !is_clean) return damaged("frame table with bytes that mean nothing");
  COFFER_DO(place_frames(header));
  return header;
}

}  // namespace coffer::seal
