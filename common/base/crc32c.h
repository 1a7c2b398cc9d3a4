// CRC-32C (Castagnoli; RFC 3720, appendix B.4). It finds what a disk or a cable did to bytes, not what somebody did.
#pragma once

#include <cstdint>
#include <vector>

#include "common/base/bytes.h"

namespace coffer {

/// With the processor's instruction where it has one, about 8 GB/s; else from a table, twenty times slower.
std::uint32_t crc32c(ByteView bytes);
/// Of each block of `block_bytes` (not 0); the last one may be shorter. Three at once, at nearly three times the speed.
std::vector<std::uint32_t> crc32c_of_blocks(ByteView bytes, std::size_t block_bytes);

namespace internal {
/// The one without the instruction, for tests.
std::uint32_t crc32c_from_table(ByteView bytes);
}  // namespace internal

}  // namespace coffer
