// How many bytes may be on their way to the server at once.
//
// Additive increase, multiplicative decrease (Chiu and Jain 1989) on the time that a chunk takes: while chunks come
// back about as quickly as the quickest ones did, more in flight fills the link; once they take several times as long,
// they only wait in a queue, and the window shrinks.
#pragma once

#include <chrono>
#include <cstddef>

namespace coffer::upload {

inline constexpr std::size_t kWindowBytesMin = 2u << 20;   ///< Two usual chunks: one travels while the other is synced.
inline constexpr std::size_t kWindowBytesMax = 32u << 20;  ///< What the client may hold in memory for it.

/// Not thread-safe.
class Window {
 public:
  std::size_t bytes() const { return bytes_; }
  /// A chunk of `chunk_bytes` was acknowledged `took` after it was handed to the network.
  void acknowledged(std::size_t chunk_bytes, std::chrono::nanoseconds took);
  /// A connection broke or the server asked for less.
  void failed();

 private:
  std::size_t bytes_ = 8u << 20;
  std::chrono::nanoseconds quickest_ = std::chrono::nanoseconds::max();
  std::size_t since_shrink_ = 0;
};

}  // namespace coffer::upload
