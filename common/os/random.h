// The only door to randomness.
#pragma once

#include "common/base/bytes.h"

namespace coffer::os {

/// Thread-safe.
class Random {
 public:
  virtual ~Random() = default;
  /// Fills `into` with bytes fit for keys. Does not fail: it stops the process when the kernel has none.
  virtual void fill(MutableByteView into) = 0;
};

/// getrandom(2).
Random& real_random();

}  // namespace coffer::os
