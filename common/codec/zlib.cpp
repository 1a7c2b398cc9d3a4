#define ZLIB_CONST  // next_in points to const bytes.
#include <zlib.h>

#include <limits>

#include "common/base/check.h"
#include "common/codec/codec.h"

namespace coffer::codec {
namespace {

/// Gives the stream its input and output; true where zlib's 32-bit lengths can express them.
bool attach(z_stream& stream, ByteView from, MutableByteView into) {
  static thread_local Bytef nothing = 0;  // zlib refuses null pointers even where there are no bytes.
  constexpr std::size_t kBytesMax = std::numeric_limits<uInt>::max();
  stream.next_in = from.empty() ? &nothing : reinterpret_cast<const Bytef*>(from.data());
  stream.avail_in = static_cast<uInt>(from.size());
  stream.next_out = into.empty() ? &nothing : reinterpret_cast<Bytef*>(into.data());
  stream.avail_out = static_cast<uInt>(into.size());
  return from.size() <= kBytesMax && into.size() <= kBytesMax;
}

class Deflater {
 public:
  Deflater() = default;
  ~Deflater() { deflateEnd(&stream_); }
  Deflater(const Deflater&) = delete;
  Deflater& operator=(const Deflater&) = delete;

  z_stream& begin(int level) {
    if (level == level_) {
      COFFER_CHECK(deflateReset(&stream_) == Z_OK);
    } else {
      deflateEnd(&stream_);
      stream_ = z_stream{};
      COFFER_CHECK(deflateInit(&stream_, level) == Z_OK);
      level_ = level;
    }
    return stream_;
  }

 private:
  z_stream stream_{};
  int level_ = -2;  // None.
};

class Inflater {
 public:
  Inflater() { COFFER_CHECK(inflateInit(&stream_) == Z_OK); }
  ~Inflater() { inflateEnd(&stream_); }
  Inflater(const Inflater&) = delete;
  Inflater& operator=(const Inflater&) = delete;

  z_stream& begin() {
    COFFER_CHECK(inflateReset(&stream_) == Z_OK);
    return stream_;
  }

 private:
  z_stream stream_{};
};

}  // namespace

std::size_t zlib_compress(ByteView plain, int level, MutableByteView into) {
  static thread_local Deflater deflater;
  z_stream& stream = deflater.begin(level);
  if (!attach(stream, plain, into)) return 0;
  return deflate(&stream, Z_FINISH) == Z_STREAM_END ? into.size() - stream.avail_out : 0;
}

Result<void> zlib_decompress(ByteView packed, MutableByteView into) {
  static thread_local Inflater inflater;
  z_stream& stream = inflater.begin();
  if (attach(stream, packed, into) && inflate(&stream, Z_FINISH) == Z_STREAM_END && stream.avail_in == 0 &&
      stream.avail_out == 0) {
    return {};
  }
  return Error{Fault::corrupt, 0, "not one whole zlib stream of the right size"};
}

}  // namespace coffer::codec
