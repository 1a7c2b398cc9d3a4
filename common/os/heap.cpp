#include "common/os/heap.h"

#include <malloc.h>

namespace coffer::os {
namespace {

constexpr int kArenas = 2;
constexpr int kKeptBytesMax = 256 << 20;
/// The most that glibc takes (malloc.c, DEFAULT_MMAP_THRESHOLD_MAX).
constexpr int kMappedBytesMin = 32 << 20;

}  // namespace

void keep_freed_memory() {
  ::mallopt(M_ARENA_MAX, kArenas);
  ::mallopt(M_TRIM_THRESHOLD, kKeptBytesMax);
  ::mallopt(M_MMAP_THRESHOLD, kMappedBytesMin);
}

}  // namespace coffer::os
