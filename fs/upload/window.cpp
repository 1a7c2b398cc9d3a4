#include "fs/upload/window.h"

#include <algorithm>

namespace coffer::upload {

void Window::acknowledged(std::size_t chunk_bytes, std::chrono::nanoseconds took) {
  // The floor keeps a link without delay from taking every group commit of the server for a queue.
  constexpr std::chrono::nanoseconds kQuickestMin = std::chrono::milliseconds(20);
  quickest_ = std::max(std::min(quickest_, took), kQuickestMin);
  since_shrink_ += chunk_bytes;
  if (took > 8 * quickest_) {
    if (since_shrink_ < bytes_) return;  // One window of answers tells of one queue.
    bytes_ = std::max(kWindowBytesMin, bytes_ / 4 * 3);
    since_shrink_ = 0;
    quickest_ += quickest_ / 16;  // The path may have become longer for good.
    return;
  }
  bytes_ = std::min(kWindowBytesMax, bytes_ + chunk_bytes / 4);
}

void Window::failed() {
  bytes_ = std::max(kWindowBytesMin, bytes_ / 2);
  since_shrink_ = 0;
}

}  // namespace coffer::upload
