#include "net/rpc/stranger_log.h"

#include <utility>

namespace coffer::rpc {

std::optional<std::uint64_t> StrangerLog::admit(Time now) {
  const MutexLock lock(mutex_);
  if (now - window_began_ >= kWindow) {
    window_began_ = now;
    lines_ = 0;
  }
  if (lines_ >= kLinesMax) {
    ++left_out_;
    return std::nullopt;
  }
  ++lines_;
  return std::exchange(left_out_, 0);
}

void StrangerLog::warn(std::string_view event, std::initializer_list<log::Field> fields) {
  const std::optional<std::uint64_t> left_out = admit(std::chrono::steady_clock::now());
  if (!left_out) return;
  if (*left_out > 0) log::warn("strangers refused", {{"lines_left_out", *left_out}});
  log::warn(event, fields);
}

}  // namespace coffer::rpc
