#include "fs/seal/frame.h"

#include <algorithm>

#include "common/codec/codec.h"

namespace coffer::seal {
namespace {

// Measured on /usr/include and on shared libraries: level 1 packs 500 and 360 MB/s to 20 and 43 %; level 3 gains one
// and three points of that and costs an eighth and two fifths of the speed; level -1 loses more than it is faster.
constexpr int kAutomaticLevel = 1;

// zstd at its low levels skips over what does not compress, at 20 GB/s, and is therefore the probe for all others: zlib
// and higher levels would spend 2 to 60 ns a byte on random data to gain nothing.
constexpr int kProbeLevel = 1;
constexpr int kLevelWithoutProbeMax = 3;

/// A frame that saves less than this is cheaper to read as it is.
constexpr std::size_t packed_bytes_max(std::size_t plain_bytes) {
  return plain_bytes == 0 ? 0 : plain_bytes - plain_bytes / 64 - 1;
}

bool needs_probe(const Compression& compression) {
  return compression.codec == Compression::Codec::zlib ||
         (compression.codec == Compression::Codec::zstd && compression.level > kLevelWithoutProbeMax);
}

}  // namespace

Packed pack(ByteView plain, const Compression& compression, MutableByteView into) {
  const MutableByteView room = into.first(packed_bytes_max(plain.size()));
  const Packed stored{FrameCodec::stored, plain.size()};
  if (needs_probe(compression) && codec::zstd_compress(plain, kProbeLevel, room) == 0) return stored;
  Packed packed = stored;
  switch (compression.codec) {
    case Compression::Codec::none: return stored;
    case Compression::Codec::automatic:
      packed = {FrameCodec::zstd, codec::zstd_compress(plain, kAutomaticLevel, room)};
      break;
    case Compression::Codec::zstd:
      packed = {FrameCodec::zstd, codec::zstd_compress(plain, compression.level, room)};
      break;
    case Compression::Codec::zlib:
      packed = {FrameCodec::zlib, codec::zlib_compress(plain, compression.level, room)};
      break;
  }
  return packed.bytes == 0 ? stored : packed;
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
