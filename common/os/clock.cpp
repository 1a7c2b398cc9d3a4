#include "common/os/clock.h"

#include <ctime>

namespace coffer::os {
namespace {

class RealClock final : public Clock {
 public:
  /// The kernel's coarse clock, by which a mount's files get their times when the kernel writes them: by the exact one
  /// a file could be older when it is written than when it was made, by up to a tick of 4 ms.
  WallTime now() override {
    timespec now{};
    ::clock_gettime(CLOCK_REALTIME_COARSE, &now);
    return WallTime(std::chrono::seconds(now.tv_sec) + std::chrono::nanoseconds(now.tv_nsec));
  }
  SteadyTime steady() override { return std::chrono::steady_clock::now(); }
};

}  // namespace

Clock& real_clock() {
  static RealClock clock;
  return clock;
}

}  // namespace coffer::os
