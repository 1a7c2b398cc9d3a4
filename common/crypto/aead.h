// AES-256-GCM (NIST SP 800-38D) with 96-bit nonces and 128-bit tags.
#pragma once

#include <array>
#include <memory>

#include "common/base/bytes.h"
#include "common/base/result.h"

namespace coffer::crypto {

inline constexpr std::size_t kAeadKeyBytes = 32;
inline constexpr std::size_t kAeadNonceBytes = 12;
inline constexpr std::size_t kAeadTagBytes = 16;
using AeadNonce = std::array<std::byte, kAeadNonceBytes>;

/// One key, used for many messages. Not thread-safe. The caller never gives the same nonce to two seal() calls.
class Aes256Gcm {
 public:
  /// `key` is exactly kAeadKeyBytes long.
  explicit Aes256Gcm(ByteView key);
  ~Aes256Gcm();
  Aes256Gcm(Aes256Gcm&&) noexcept;
  Aes256Gcm& operator=(Aes256Gcm&&) noexcept;

  /// Writes ciphertext and tag: `into` is plain.size() + kAeadTagBytes long. `into` may begin where `plain` does.
  void seal(const AeadNonce& nonce, ByteView associated, ByteView plain, MutableByteView into);
  /// `into` is sealed.size() - kAeadTagBytes long. Fault::corrupt if the tag does not hold; `into` is wiped then.
  Result<void> open(const AeadNonce& nonce, ByteView associated, ByteView sealed, MutableByteView into);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace coffer::crypto
