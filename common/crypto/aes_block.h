// AES-256 on single blocks (FIPS 197), as a keyed pseudo-random function for the chunker.
#pragma once

#include <array>
#include <memory>
#include <span>

#include "common/base/bytes.h"

namespace coffer::crypto {

using AesBlock = std::array<std::byte, 16>;

/// Not thread-safe.
class Aes256Block {
 public:
  /// `key` is exactly 32 bytes long.
  explicit Aes256Block(ByteView key);
  ~Aes256Block();
  Aes256Block(Aes256Block&&) noexcept;
  Aes256Block& operator=(Aes256Block&&) noexcept;

  /// Each by itself, in place. Of many at once, a block costs a tenth of what it costs alone.
  void encrypt(std::span<AesBlock> blocks);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace coffer::crypto
