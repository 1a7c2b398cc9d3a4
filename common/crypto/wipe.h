// Secrets in memory that is locked, kept out of core dumps, and cleansed when it is given back.
#pragma once

#include <cstddef>

#include "common/base/bytes.h"

namespace coffer::crypto {

/// Sets up the locked heap (OPENSSL_secure_malloc, 1 MiB) and switches core dumps of this process off
/// (PR_SET_DUMPABLE). Call once at the start of main(); where the memory cannot be locked (RLIMIT_MEMLOCK) it
/// goes on with a warning in the log, because refusing would help nobody.
void protect_process_memory();

/// Overwrites bytes in a way that the compiler keeps.
void wipe(MutableByteView bytes) noexcept;

/// Owned secret bytes on the locked heap. Moves, never copies.
class Secret {
 public:
  Secret() = default;
  explicit Secret(std::size_t bytes);  ///< Zeros.
  static Secret copy_of(ByteView bytes);
  ~Secret();
  Secret(Secret&& other) noexcept;
  Secret& operator=(Secret&& other) noexcept;

  MutableByteView bytes() { return {data_, size_}; }
  ByteView bytes() const { return {data_, size_}; }
  std::size_t size() const { return size_; }

 private:
  std::byte* data_ = nullptr;
  std::size_t size_ = 0;
};

}  // namespace coffer::crypto
