#include "fs/cli/terminal.h"

#include <fcntl.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <iostream>
#include <string_view>

#include "common/base/escape.h"

namespace coffer::cli {

namespace {

constexpr std::size_t kSecretBytesMax = 4096;
constexpr std::size_t kBarWidth = 24;
constexpr std::size_t kColumnsUsual = 80;

Error no_terminal() {
  return {Fault::refused, ENOTTY,
          "there is no terminal to ask for the passphrase: give --passphrase-file F or --key-file F"};
}

void write_text(int fd, const std::string& text) { (void)!::write(fd, text.data(), text.size()); }

std::size_t columns() {
  ::winsize size{};
  return ::ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 10 ? size.ws_col : kColumnsUsual;
}

}  // namespace

bool has_terminal() {
  const int fd = ::open("/dev/tty", O_RDWR | O_CLOEXEC);
  if (fd < 0) return false;
  ::close(fd);
  return true;
}

std::string shown(std::string_view text, int fd) { return ::isatty(fd) == 1 ? base::escaped(text) : std::string(text); }

Result<crypto::Secret> ask_secret(const std::string& prompt) {
  const int fd = ::open("/dev/tty", O_RDWR | O_CLOEXEC);
  if (fd < 0) return no_terminal();
  ::termios shown{};
  const bool is_terminal = ::tcgetattr(fd, &shown) == 0;
  ::termios hidden = shown;
  hidden.c_lflag &= ~static_cast<tcflag_t>(ECHO);
  if (is_terminal) ::tcsetattr(fd, TCSAFLUSH, &hidden);
  write_text(fd, prompt);
  crypto::Secret line(kSecretBytesMax);
  const ssize_t got = ::read(fd, line.bytes().data(), line.size());
  if (is_terminal) ::tcsetattr(fd, TCSAFLUSH, &shown);
  write_text(fd, "\n");
  ::close(fd);
  if (got <= 0) return no_terminal();
  std::size_t length = static_cast<std::size_t>(got);
  if (line.bytes()[length - 1] == std::byte{'\n'}) --length;
  return crypto::Secret::copy_of(line.bytes().first(length));
}

Result<void> show_secret(const std::string& head, const crypto::Secret& secret) {
  std::cout.flush();
  for (const std::string_view part : {std::string_view(head), as_text(secret.bytes()), std::string_view("\n\n")}) {
    std::string_view rest = part;
    while (!rest.empty()) {
      const ssize_t went = ::write(STDOUT_FILENO, rest.data(), rest.size());
      if (went < 0 && errno != EINTR) return os_error(errno, "what must be written down cannot be shown");
      if (went > 0) rest.remove_prefix(static_cast<std::size_t>(went));
    }
  }
  return {};
}

Result<crypto::Secret> ask_new_passphrase() {
  COFFER_TRY(crypto::Secret first, ask_secret("New passphrase for the vault: "));
  if (first.size() == 0) return Error{Fault::refused, EINVAL, "the passphrase is empty: nothing was changed"};
  COFFER_TRY(const crypto::Secret second, ask_secret("The same again: "));
  if (!std::ranges::equal(first.bytes(), second.bytes())) {
    return Error{Fault::refused, EINVAL, "the two passphrases differ: run the command again"};
  }
  return first;
}

ProgressLine::ProgressLine() : is_shown_(::isatty(STDERR_FILENO) == 1) {}

ProgressLine::~ProgressLine() {
  if (is_dirty_) write_text(STDERR_FILENO, "\r\033[K");
}

void ProgressLine::show(const std::string& text) {
  if (!is_shown_) return;
  is_dirty_ = true;
  write_text(STDERR_FILENO, "\r\033[K" + base::escaped(text, "").substr(0, columns() - 1));
}

void ProgressLine::show(std::uint64_t done, std::uint64_t of, const std::string& text) {
  const std::size_t filled = of == 0 ? kBarWidth : std::min<std::uint64_t>(kBarWidth, done * kBarWidth / of);
  const std::uint64_t percent = of == 0 ? 100 : std::min<std::uint64_t>(100, done * 100 / of);
  show("[" + std::string(filled, '#') + std::string(kBarWidth - filled, '.') + "] " + std::to_string(percent) + " %  " +
       text);
}

}  // namespace coffer::cli
