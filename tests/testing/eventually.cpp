#include "tests/testing/eventually.h"

#include <thread>

namespace coffer::testing {

bool eventually(const std::function<bool()>& holds, std::chrono::milliseconds within) {
  const auto deadline = std::chrono::steady_clock::now() + within;
  while (std::chrono::steady_clock::now() < deadline) {
    if (holds()) return true;
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }
  return holds();
}

}  // namespace coffer::testing
