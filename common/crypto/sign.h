// Ed25519 signatures (RFC 8032).
#pragma once

#include <array>
#include <memory>

#include "common/base/bytes.h"
#include "common/base/result.h"
#include "common/crypto/wipe.h"
#include "common/os/random.h"

extern "C" struct evp_pkey_st;

namespace coffer::crypto {

using PublicKey = std::array<std::byte, 32>;
using Signature = std::array<std::byte, 64>;

/// Thread-safe.
class SigningKey {
 public:
  static SigningKey generate(os::Random& random);
  /// `seed` is the 32-byte private key of RFC 8032. Fault::corrupt for another length.
  static Result<SigningKey> from_seed(ByteView seed);

  ByteView seed() const { return seed_.bytes(); }
  const PublicKey& public_key() const { return public_key_; }
  Signature sign(ByteView message) const;

 private:
  SigningKey(Secret seed, std::shared_ptr<evp_pkey_st> key, PublicKey public_key)
      : seed_(std::move(seed)), key_(std::move(key)), public_key_(public_key) {}

  Secret seed_;
  std::shared_ptr<evp_pkey_st> key_;  ///< OpenSSL's; never changed, so shared by threads.
  PublicKey public_key_;
};

bool verify(const PublicKey& key, ByteView message, const Signature& signature);

}  // namespace coffer::crypto
