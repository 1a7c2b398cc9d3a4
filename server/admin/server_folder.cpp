#include "server/admin/server_folder.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

#include "common/base/text.h"
#include "common/os/paths.h"

namespace coffer::admin {
namespace {

constexpr std::size_t kTextBytesMax = 1u << 20;

/// An open-file-description lock (fcntl(2)): unlike flock(2) it can be asked about without being taken, so that a
/// command that only looks never gets in the way of a server that starts.
struct flock whole_file() {
  struct flock lock {};
  lock.l_type = F_WRLCK;
  lock.l_whence = SEEK_SET;
  return lock;
}

}  // namespace

Result<ServerFolder> ServerFolder::find(const std::string& path) {
  const ServerFolder folder(path);
  if (os::is_there(folder.disk(), folder.configuration())) return folder;
  return Error{Fault::refused, 0, "there is no server in " + path + "; make one with: cofferd init --dir " + path};
}

tls::ServerFiles ServerFolder::tls_files() const {
  return {.certificate = tls() + "/server.pem",
          .key = tls() + "/server.key",
          .ca = tls() + "/ca.pem",
          .extra_ca = tls() + "/extra-ca.pem",
          .disk = disk_};
}

Result<tls::Authority> ServerFolder::load_authority() const {
  COFFER_TRY(std::string certificate, read_text(tls() + "/ca.pem", *disk_));
  COFFER_TRY(Bytes key, os::read_file(*disk_, tls() + "/ca.key", kTextBytesMax));
  tls::Authority authority{.certificate_pem = std::move(certificate), .key_pem = crypto::Secret::copy_of(key)};
  crypto::wipe(key);
  return authority;
}

Result<crypto::SigningKey> ServerFolder::load_receipt_key() const {
  COFFER_TRY(const std::string text, read_text(receipt_key(), *disk_));
  COFFER_TRY(const Bytes seed, base::from_hex(std::string_view(text).substr(0, text.find('\n'))));
  return crypto::SigningKey::from_seed(seed);
}

Result<RunLock> RunLock::take(const ServerFolder& folder) {
  COFFER_DO(os::real_disk().make_folder(folder.run()));
  const int fd = ::open((folder.run() + "/lock").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (fd < 0) return os_error(errno, "open run/lock");
  RunLock taken(fd);
  struct flock lock = whole_file();
  if (::fcntl(fd, F_OFD_SETLK, &lock) == 0) return taken;
  if (errno != EAGAIN && errno != EACCES) return os_error(errno, "lock run/lock");
  return Error{Fault::refused, EBUSY, "a server runs on " + folder.path() + " already; stop it first"};
}

bool RunLock::is_held(const ServerFolder& folder) {
  const int fd = ::open((folder.run() + "/lock").c_str(), O_RDWR | O_CLOEXEC);
  if (fd < 0) return false;
  struct flock lock = whole_file();
  const bool asked = ::fcntl(fd, F_OFD_GETLK, &lock) == 0;
  ::close(fd);
  return asked && lock.l_type != F_UNLCK;
}

RunLock::~RunLock() {
  if (fd_ >= 0) ::close(fd_);
}

RunLock::RunLock(RunLock&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}

Result<std::string> read_text(const std::string& path, os::Disk& disk) {
  auto bytes = os::read_file(disk, path, kTextBytesMax);
  if (!bytes) return std::move(bytes).error().in(path);
  return std::string(as_text(*bytes));
}

Result<void> write_text(const std::string& path, std::string_view text, os::Disk& disk) {
  auto written = os::replace_file(disk, path, as_bytes(text));
  if (!written) return std::move(written).error().in(path);
  return {};
}

}  // namespace coffer::admin
