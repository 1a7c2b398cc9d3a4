// Keys from keys (HKDF-SHA-256, RFC 5869) and keys from passphrases (scrypt, RFC 7914).
#pragma once

#include <cstdint>
#include <string_view>

#include "common/base/bytes.h"
#include "common/base/result.h"
#include "common/crypto/wipe.h"

namespace coffer::crypto {

/// Fills `into` (at most 255 * 32 bytes).
void hkdf_sha256(ByteView key, ByteView salt, ByteView info, MutableByteView into);

struct ScryptCost {
  std::uint64_t n = 1u << 17;  ///< A power of two.
  std::uint32_t r = 8;
  std::uint32_t p = 1;
};

/// A 32-byte key. Takes 128 * r * n bytes of memory (128 MiB by default) and about half a second.
/// Fault::corrupt for a cost that is not a power of two or that needs more than 1 GiB.
Result<Secret> scrypt(ByteView passphrase, ByteView salt, const ScryptCost& cost);

}  // namespace coffer::crypto
