// Compression to and from sizes known beforehand: zstd (RFC 8878) and zlib (RFC 1950).
#pragma once

#include "common/base/bytes.h"
#include "common/base/result.h"

namespace coffer::codec {

/// Compresses `plain` into `into` and returns how many bytes that took, or 0 where it would take more than
/// `into.size()`. zstd levels are -7 … 19, zlib levels 1 … 9. Thread-safe; contexts are kept per thread.
std::size_t zstd_compress(ByteView plain, int level, MutableByteView into);
std::size_t zlib_compress(ByteView plain, int level, MutableByteView into);

/// Fills `into` exactly. Fault::corrupt if `packed` is not whole, has bytes behind its end, or gives another size.
Result<void> zstd_decompress(ByteView packed, MutableByteView into);
Result<void> zlib_decompress(ByteView packed, MutableByteView into);

}  // namespace coffer::codec
