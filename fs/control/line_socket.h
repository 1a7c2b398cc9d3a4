// A Unix socket that carries lines. For fs/control only.
#pragma once

#include <string>
#include <utility>

#include "common/base/result.h"

namespace coffer::control {

/// Owns a file descriptor. A line is at most kLineBytesMax long. Not thread-safe, but end() may come from any thread.
class LineSocket {
 public:
  explicit LineSocket(int fd) : fd_(fd) {}
  ~LineSocket();
  LineSocket(LineSocket&& other) noexcept : fd_(std::exchange(other.fd_, -1)), rest_(std::move(other.rest_)) {}
  LineSocket& operator=(LineSocket&&) = delete;

  int fd() const { return fd_; }
  /// Without the '\n'. Fault::offline at the end of the stream, Fault::protocol for a line that is too long.
  Result<std::string> read_line();
  /// Adds the '\n'. Fault::offline where the other side is gone.
  Result<void> write_line(const std::string& line);
  /// Wakes whoever reads, here and at the other side.
  void end() const;
  /// Wakes whoever reads here; an answer can still be written.
  void end_reading() const;

 private:
  int fd_;
  std::string rest_;  // Read, and not handed out yet.
};

/// Sockets have short names (108 bytes, unix(7)); a folder's descriptor stands in for a long path.
Result<int> listen_at(const std::string& path);
/// Fault::offline if nobody listens there.
Result<LineSocket> connect_to(const std::string& path);

}  // namespace coffer::control
