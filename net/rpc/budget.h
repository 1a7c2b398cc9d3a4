// What the requests of all connections of a server hold in its memory together.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "common/base/mutex.h"

namespace coffer::rpc {

/// Thread-safe.
class Budget {
 public:
  explicit Budget(std::uint64_t bytes_max) : bytes_max_(bytes_max) {}

  /// True where there was room for them. Else `wake` is called once, from any thread, when some were given back: ask
  /// again then.
  bool take(std::uint64_t bytes, std::function<void()> wake);
  /// Beyond the bound too.
  void take_anyway(std::uint64_t bytes);
  void give(std::uint64_t bytes);

 private:
  const std::uint64_t bytes_max_;
  Mutex mutex_;
  std::uint64_t taken_ GUARDED_BY(mutex_) = 0;
  std::vector<std::function<void()>> waiting_ GUARDED_BY(mutex_);
};

}  // namespace coffer::rpc
