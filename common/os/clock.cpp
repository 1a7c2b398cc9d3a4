#include "common/os/clock.h"

namespace coffer::os {
namespace {

class RealClock final : public Clock {
 public:
  WallTime now() override {
    return std::chrono::time_point_cast<std::chrono::nanoseconds>(std::chrono::system_clock::now());
  }
  SteadyTime steady() override { return std::chrono::steady_clock::now(); }
};

}  // namespace

Clock& real_clock() {
  static RealClock clock;
  return clock;
}

}  // namespace coffer::os
