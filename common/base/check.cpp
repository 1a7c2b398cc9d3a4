#include "common/base/check.h"

#include <cstdio>
#include <cstdlib>

namespace coffer::base {

void check_failed(const char* condition, const char* file, int line) noexcept {
  std::fprintf(stderr, "coffer: broken invariant at %s:%d: %s\n", file, line, condition);
  std::abort();
}

}  // namespace coffer::base
