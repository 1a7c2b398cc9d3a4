// The only door to time.
#pragma once

#include <chrono>

namespace coffer::os {

using WallTime = std::chrono::sys_time<std::chrono::nanoseconds>;
using SteadyTime = std::chrono::steady_clock::time_point;

/// Thread-safe.
class Clock {
 public:
  virtual ~Clock() = default;
  /// The time of day (UTC); it may jump.
  virtual WallTime now() = 0;
  /// For deadlines and durations; it never jumps.
  virtual SteadyTime steady() = 0;
};

Clock& real_clock();

}  // namespace coffer::os
