#include "tests/testing/seeded_random.h"

#include <algorithm>

#include "common/base/check.h"

namespace coffer::testing {

void SeededRandom::seed(std::uint64_t seed) {
  const MutexLock lock(mutex_);
  engine_.seed(seed);
}

void SeededRandom::fill(MutableByteView into) {
  const MutexLock lock(mutex_);
  while (!into.empty()) {
    const std::uint64_t word = engine_();
    const std::size_t count = std::min(into.size(), sizeof(word));
    std::memcpy(into.data(), &word, count);
    into = into.subspan(count);
  }
}

std::uint64_t SeededRandom::below(std::uint64_t end) {
  COFFER_CHECK(end > 0);
  const MutexLock lock(mutex_);
  return engine_() % end;
}

Bytes SeededRandom::bytes(std::size_t count) {
  Bytes bytes(count);
  fill(bytes);
  return bytes;
}

}  // namespace coffer::testing
