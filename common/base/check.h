// What only a bug can break.
//
// COFFER_CHECK stops release builds too: going on with a broken invariant could harm the user's bytes,
// and starting again is safe, because it is the path that a kill -9 takes as well. What came from a disk,
// a network or a person is never checked this way; that is a Fault (result.h).
#pragma once

namespace coffer::base {

/// Writes one line to stderr and aborts.
[[noreturn]] void check_failed(const char* condition, const char* file, int line) noexcept;

}  // namespace coffer::base

#define COFFER_CHECK(condition)                                          \
  do {                                                                   \
    if (!(condition)) [[unlikely]] {                                     \
      ::coffer::base::check_failed(#condition, __FILE_NAME__, __LINE__); \
    }                                                                    \
  } while (false)
