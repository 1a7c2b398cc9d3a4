// Bytes that depend on a seed alone, so that a failing test can be run again.
#pragma once

#include <cstdint>
#include <random>

#include "common/base/bytes.h"
#include "common/base/mutex.h"
#include "common/os/random.h"

namespace coffer::testing {

/// Thread-safe; with several callers the order of their calls decides who gets which bytes.
class SeededRandom : public os::Random {
 public:
  explicit SeededRandom(std::uint64_t seed) : engine_(seed) {}

  /// Begins anew, as if it had been made with `seed`.
  void seed(std::uint64_t seed);

  void fill(MutableByteView into) override;
  /// A number from 0 to `end` - 1.
  std::uint64_t below(std::uint64_t end);
  /// `count` bytes that do not compress.
  Bytes bytes(std::size_t count);

 private:
  Mutex mutex_;
  std::mt19937_64 engine_ GUARDED_BY(mutex_);
};

}  // namespace coffer::testing
