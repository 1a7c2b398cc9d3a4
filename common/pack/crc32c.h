// CRC-32C (Castagnoli; RFC 3720, appendix B.4): of the headers in a pack, which are short.
#pragma once

#include <cstdint>

#include "common/base/bytes.h"

namespace coffer::pack {

std::uint32_t crc32c(ByteView bytes);

}  // namespace coffer::pack
