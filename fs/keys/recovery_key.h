// The recovery key: 256 random bits that a person can write down and type in again. KEYS.md has the text form.
#pragma once

#include <string_view>
#include <utility>

#include "common/base/bytes.h"
#include "common/base/result.h"
#include "common/crypto/wipe.h"
#include "common/os/random.h"

namespace coffer::keys {

/// Moves, never copies.
class RecoveryKey {
 public:
  static RecoveryKey generate(os::Random& random);
  /// Takes what text() gave, in either case, with any spaces, line ends and '-' between the letters, and with 0, 1 and
  /// 8 for O, I and B. Fault::refused with EINVAL if it was mistyped: a checksum tells that from a wrong key, which
  /// only unwrap() finds.
  static Result<RecoveryKey> parse(std::string_view text);

  /// 14 groups of four letters and digits (RFC 4648 base32) with '-' between them. Held as a secret: print it, drop it.
  crypto::Secret text() const;
  /// 32 bytes.
  ByteView bytes() const { return secret_.bytes(); }

 private:
  explicit RecoveryKey(crypto::Secret secret) : secret_(std::move(secret)) {}

  crypto::Secret secret_;
};

}  // namespace coffer::keys
