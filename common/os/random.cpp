#include "common/os/random.h"

#include <sys/random.h>

#include <cerrno>

#include "common/base/check.h"

namespace coffer::os {
namespace {

class RealRandom final : public Random {
 public:
  void fill(MutableByteView into) override {
    while (!into.empty()) {
      const ssize_t got = getrandom(into.data(), into.size(), 0);
      const bool interrupted = got < 0 && errno == EINTR;
      COFFER_CHECK(got > 0 || interrupted);
      if (got > 0) into = into.subspan(static_cast<std::size_t>(got));
    }
  }
};

}  // namespace

Random& real_random() {
  static RealRandom random;
  return random;
}

}  // namespace coffer::os
