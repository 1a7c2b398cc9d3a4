#include "fs/cli/background.h"

#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <iostream>

namespace coffer::cli {

namespace {

constexpr off_t kLogBytesMax = 10 << 20;

// A log that grew large makes place for a new one.
void open_log(const std::string& path) {
  const int fd = ::open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
  if (fd < 0) return;
  if (::lseek(fd, 0, SEEK_END) > kLogBytesMax) (void)!::ftruncate(fd, 0);
  ::dup2(fd, STDERR_FILENO);
  ::close(fd);
}

void detach() {
  ::setsid();
  const int fd = ::open("/dev/null", O_RDWR | O_CLOEXEC);
  if (fd < 0) return;
  ::dup2(fd, STDIN_FILENO);
  ::dup2(fd, STDOUT_FILENO);
  ::close(fd);
}

std::string read_all(int fd) {
  std::string text;
  std::array<char, 4096> part{};
  for (;;) {
    const ssize_t got = ::read(fd, part.data(), part.size());
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return text;
    text.append(part.data(), static_cast<std::size_t>(got));
  }
}

void tell(int fd, char exit_code, const std::string& text) {
  const std::string message = exit_code + text;
  (void)!::write(fd, message.data(), message.size());
  ::close(fd);  // The other side reads to the end.
}

}  // namespace

void Readiness::ready(const std::string& what) const {
  detach();
  tell(fd_, 0, what);
}

void Readiness::failed(const std::string& why, int exit_code) const { tell(fd_, static_cast<char>(exit_code), why); }

Result<int> run_in_background(const std::string& log_file, const std::function<int(const Readiness&)>& work) {
  std::array<int, 2> ends{};
  if (::pipe2(ends.data(), O_CLOEXEC) != 0) return os_error(errno, "pipe");
  const pid_t child = ::fork();
  if (child < 0) return os_error(errno, "fork");
  if (child == 0) {
    ::close(ends[0]);
    open_log(log_file);
    ::_exit(work(Readiness(ends[1])));
  }
  ::close(ends[1]);
  const std::string message = read_all(ends[0]);
  ::close(ends[0]);
  if (message.empty()) {
    ::waitpid(child, nullptr, 0);
    return Error{Fault::stopped, 0, "the mount's process ended before it was usable: see " + log_file};
  }
  const int exit_code = message.front();
  (exit_code == 0 ? std::cout : std::cerr) << message.substr(1) << std::flush;
  if (exit_code != 0) ::waitpid(child, nullptr, 0);
  return exit_code;
}

}  // namespace coffer::cli
