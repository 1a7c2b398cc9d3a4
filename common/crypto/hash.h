// SHA-256 (FIPS 180-4), HMAC-SHA-256 (RFC 2104) and a comparison that takes the same time whatever it compares.
#pragma once

#include <array>
#include <cstddef>
#include <memory>

#include "common/base/bytes.h"

namespace coffer::crypto {

using Digest = std::array<std::byte, 32>;

Digest sha256(ByteView bytes);
Digest hmac_sha256(ByteView key, ByteView bytes);
bool equal_in_constant_time(ByteView a, ByteView b);

/// SHA-256 of bytes that come in parts. Not thread-safe.
class Sha256 {
 public:
  Sha256();
  ~Sha256();
  Sha256(Sha256&&) noexcept;
  Sha256& operator=(Sha256&&) noexcept;

  void update(ByteView bytes);
  /// Call once; afterwards the object begins a new hash.
  Digest finish();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace coffer::crypto
