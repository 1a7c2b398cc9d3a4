// The encrypted messages of one sealed chunk or payload: STREAM (Hoang, Reyhanitabar, Rogaway and Vizár 2015) over
// AES-256-GCM. FORMAT.md has key, nonce and associated data.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "common/base/bytes.h"
#include "common/base/result.h"
#include "common/crypto/aead.h"

namespace coffer::seal {

inline constexpr std::size_t kSaltBytes = 32;
using Salt = std::array<std::byte, kSaltBytes>;

enum class Last : std::uint8_t { no = 0, yes = 1 };

/// Not thread-safe; each call of the Sealer has its own.
class Stream {
 public:
  /// `key` is the vault's key for this use; `salt` makes the key of this one chunk or payload from it.
  Stream(ByteView key, ByteView salt, std::string_view info, Bytes associated);

  /// As crypto::Aes256Gcm. No `counter` may be sealed twice.
  void seal(std::uint32_t counter, Last last, ByteView plain, MutableByteView into);
  Result<void> open(std::uint32_t counter, Last last, ByteView sealed, MutableByteView into);

 private:
  crypto::Aes256Gcm aead_;
  Bytes associated_;
};

}  // namespace coffer::seal
