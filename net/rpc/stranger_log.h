// The log's lines about peers whom nobody knows: they can make as many as they like, and the log must not fill the
// disk.
#pragma once

#include <chrono>
#include <cstdint>
#include <initializer_list>
#include <optional>
#include <string_view>

#include "common/base/log.h"
#include "common/base/mutex.h"

namespace coffer::rpc {

/// Thread-safe.
class StrangerLog {
 public:
  using Time = std::chrono::steady_clock::time_point;
  static constexpr std::uint64_t kLinesMax = 100;
  static constexpr std::chrono::seconds kWindow{10};

  /// Whether a line may be written now, kLinesMax of them within kWindow; how many were left out since the last one.
  std::optional<std::uint64_t> admit(Time now);
  /// Writes it, or leaves it out.
  void warn(std::string_view event, std::initializer_list<log::Field> fields);

 private:
  Mutex mutex_;
  Time window_began_ GUARDED_BY(mutex_){};
  std::uint64_t lines_ GUARDED_BY(mutex_) = 0;
  std::uint64_t left_out_ GUARDED_BY(mutex_) = 0;
};

}  // namespace coffer::rpc
