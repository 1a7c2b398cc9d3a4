// A file descriptor that closes itself.
#pragma once

#include <unistd.h>

#include <utility>

namespace coffer::os {

class Fd {
 public:
  explicit Fd(int fd = -1) : fd_(fd) {}
  Fd(Fd&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Fd& operator=(Fd&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }
  ~Fd() {
    if (fd_ >= 0) ::close(fd_);
  }

  int get() const { return fd_; }
  bool is_open() const { return fd_ >= 0; }
  /// For whoever wants to know what close(2) says.
  int release() { return std::exchange(fd_, -1); }

 private:
  int fd_;
};

}  // namespace coffer::os
