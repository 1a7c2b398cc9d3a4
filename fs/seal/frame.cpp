#include "fs/seal/frame.h"

#include <algorithm>

#include "common/codec/codec.h"

namespace coffer::seal {
namespace {

constexpr int kAutomaticLevel = 1;

/// A frame that saves less than this is cheaper to read as it is.
constexpr std::size_t packed_bytes_max(std::size_t plain_bytes) {
  return plain_bytes == 0 ? 0 : plain_bytes - plain_bytes / 64 - 1;
}

}  // namespace

Packed pack(ByteView plain, const Compression& compression, MutableByteView into) {
  const MutableByteView room = into.first(packed_bytes_max(plain.size()));
  std::size_t bytes = 0;
  FrameCodec codec = FrameCodec::stored;
  switch (compression.codec) {
    case Compression::Codec::none: break;
    case Compression::Codec::automatic:
      codec = FrameCodec::zstd;
      bytes = codec::zstd_compress(plain, kAutomaticLevel, room);
      break;
    case Compression::Codec::zstd:
      codec = FrameCodec::zstd;
      bytes = codec::zstd_compress(plain, compression.level, room);
      break;
    case Compression::Codec::zlib:
      codec = FrameCodec::zlib;
      bytes = codec::zlib_compress(plain, compression.level, room);
      break;
  }
  if (bytes == 0) return {FrameCodec::stored, plain.size()};
  return {codec, bytes};
}

Result<void> unpack(FrameCodec codec, ByteView packed, MutableByteView into) {
  switch (codec) {
    case FrameCodec::stored:
      if (packed.size() != into.size()) return Error{Fault::corrupt, 0, "stored frame of a wrong length"};
      std::ranges::copy(packed, into.begin());
      return {};
    case FrameCodec::zstd: return codec::zstd_decompress(packed, into);
    case FrameCodec::zlib: return codec::zlib_decompress(packed, into);
  }
  return Error{Fault::corrupt, 0, "frame of an unknown codec"};
}

}  // namespace coffer::seal
