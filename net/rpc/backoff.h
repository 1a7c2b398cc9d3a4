// How long to wait before the next attempt: doubles up to a bound, with jitter, so that a thousand clients of a server
// that restarts do not all return in the same moment.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstdint>

#include "common/os/random.h"

namespace coffer::rpc {

/// Not thread-safe. Keeps a reference to `random`.
class Backoff {
 public:
  using Delay = std::chrono::milliseconds;

  Backoff(Delay min, Delay max, os::Random& random) : min_(min), max_(max), next_(min), random_(random) {}

  /// Between half of the current bound and all of it.
  Delay next() {
    std::uint64_t drawn = 0;
    random_.fill(std::as_writable_bytes(std::span(&drawn, 1)));
    const auto half = static_cast<std::uint64_t>(next_.count()) / 2;
    const Delay delay(static_cast<Delay::rep>(half + drawn % (half + 1)));
    next_ = std::min(next_ * 2, max_);
    return delay;
  }
  void reset() { next_ = min_; }

 private:
  Delay min_;
  Delay max_;
  Delay next_;
  os::Random& random_;
};

}  // namespace coffer::rpc
