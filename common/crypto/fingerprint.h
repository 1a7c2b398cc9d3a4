// A public key as people compare it.
#pragma once

#include <string>

#include "common/base/text.h"
#include "common/crypto/hash.h"
#include "common/crypto/sign.h"

namespace coffer::crypto {

/// SHA-256 of the key's 32 bytes, as 64 hexadecimal digits.
inline std::string fingerprint_of(const PublicKey& key) { return base::to_hex(sha256(key)); }

}  // namespace coffer::crypto
