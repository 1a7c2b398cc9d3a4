#include "fs/control/line_socket.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>

namespace coffer::control {

namespace {

constexpr std::size_t kLineBytesMax = 4u << 20;
constexpr int kBacklog = 16;

/// The address of `path` by way of its open folder; `folder_fd` must stay open while it is used.
Result<::sockaddr_un> address_of(const std::string& path, int& folder_fd) {
  const std::size_t slash = path.rfind('/');
  const std::string folder = slash == std::string::npos ? "." : path.substr(0, slash);
  folder_fd = ::open(folder.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC);
  if (folder_fd < 0) return os_error(errno, "open " + folder);
  const std::string name = "/proc/self/fd/" + std::to_string(folder_fd) + "/" + path.substr(slash + 1);
  ::sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (name.size() >= sizeof(address.sun_path)) return os_error(ENAMETOOLONG, "socket " + name);
  std::memcpy(address.sun_path, name.c_str(), name.size() + 1);
  return address;
}

const ::sockaddr* general(const ::sockaddr_un& address) {
  return reinterpret_cast<const ::sockaddr*>(&address);  // As bind(2) and connect(2) want it.
}

}  // namespace

LineSocket::~LineSocket() {
  if (fd_ >= 0) ::close(fd_);
}

Result<std::string> LineSocket::read_line() {
  for (;;) {
    if (const std::size_t end = rest_.find('\n'); end != std::string::npos) {
      std::string line = rest_.substr(0, end);
      rest_.erase(0, end + 1);
      return line;
    }
    if (rest_.size() > kLineBytesMax) return Error{Fault::protocol, 0, "a line that is too long"};
    std::array<char, 16384> part{};
    const ssize_t got = ::read(fd_, part.data(), part.size());
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return Error{Fault::offline, EPIPE, "the mount's process went away"};
    rest_.append(part.data(), static_cast<std::size_t>(got));
  }
}

Result<void> LineSocket::write_line(const std::string& line) {
  const std::string bytes = line + "\n";
  for (std::size_t at = 0; at < bytes.size();) {
    const ssize_t sent = ::send(fd_, bytes.data() + at, bytes.size() - at, MSG_NOSIGNAL);
    if (sent < 0 && errno == EINTR) continue;
    if (sent <= 0) return Error{Fault::offline, EPIPE, "the other side went away"};
    at += static_cast<std::size_t>(sent);
  }
  return {};
}

void LineSocket::end() const { ::shutdown(fd_, SHUT_RDWR); }

void LineSocket::end_reading() const { ::shutdown(fd_, SHUT_RD); }

Result<int> listen_at(const std::string& path) {
  int folder_fd = -1;
  const Result<::sockaddr_un> address = address_of(path, folder_fd);
  if (!address) return Error(address.error());
  const int fd = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  ::unlink(path.c_str());
  const bool is_bound = fd >= 0 && ::bind(fd, general(*address), sizeof(*address)) == 0 &&
                        ::chmod(path.c_str(), 0600) == 0 && ::listen(fd, kBacklog) == 0;
  const int failure = errno;
  ::close(folder_fd);
  if (is_bound) return fd;
  if (fd >= 0) ::close(fd);
  return os_error(failure, "socket " + path);
}

Result<LineSocket> connect_to(const std::string& path) {
  int folder_fd = -1;
  const Result<::sockaddr_un> address = address_of(path, folder_fd);
  if (!address) return Error{Fault::offline, ENOENT, "the vault is not mounted"};
  LineSocket socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  const bool is_connected = socket.fd() >= 0 && ::connect(socket.fd(), general(*address), sizeof(*address)) == 0;
  ::close(folder_fd);
  if (!is_connected) return Error{Fault::offline, ENOENT, "the vault is not mounted"};
  return socket;
}

}  // namespace coffer::control
