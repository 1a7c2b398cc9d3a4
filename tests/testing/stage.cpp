#include "tests/testing/stage.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fstream>
#include <iterator>
#include <utility>

#include "common/base/check.h"
#include "tests/testing/eventually.h"

namespace coffer::testing {
namespace {

using std::chrono::seconds;

std::string text_of(const std::string& path) {
  std::ifstream file(path);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

std::string without_newline(std::string text) {
  while (!text.empty() && text.back() == '\n') text.pop_back();
  return text;
}

/// A mountpoint is another device than the folder above it. One whose process is gone does not answer, if it is asked
/// for more than what the kernel remembers of it.
bool is_mountpoint(const std::string& path) {
  struct statx answer {};
  if (statx(AT_FDCWD, path.c_str(), AT_STATX_FORCE_SYNC, STATX_TYPE, &answer) != 0) return false;
  struct stat here {};
  struct stat above {};
  if (stat(path.c_str(), &here) != 0) return false;
  COFFER_CHECK(stat((path + "/..").c_str(), &above) == 0);
  struct stat parent {};
  const std::string parent_path = std::filesystem::path(path).parent_path().string();
  return stat(parent_path.c_str(), &parent) == 0 && here.st_dev != parent.st_dev;
}

void expect_done(const Finished& finished, const std::string& what) {
  EXPECT_EQ(finished.exit_code, 0) << what << " failed:\n" << finished.out << finished.err;
}

}  // namespace

Client::Client(const Stage& stage, std::string name, std::string vault) : stage_(stage), name_(std::move(name)) {
  std::filesystem::create_directories(mountpoint());
  std::vector<std::string> invite = {"invite", name_};
  if (!vault.empty()) invite.insert(invite.end(), {"--vault", vault});
  if (!stage_.client_address().empty()) invite.insert(invite.end(), {"--address", stage_.client_address()});
  const Finished invited = stage_.cofferd(invite);
  expect_done(invited, "cofferd invite");
  expect_done(
      coffer({"enroll", without_newline(invited.out), "--key-file", stage_.key_file(vault.empty() ? name_ : vault)}),
      "coffer enroll");
}

Client::~Client() {
  if (process_ == nullptr || !process_->runs()) return;
  kill9();
}

std::string Client::home() const { return stage_.folder() + "/home-" + name_; }
std::string Client::mountpoint() const { return stage_.folder() + "/mnt-" + name_; }
std::string Client::log_file() const { return stage_.folder() + "/mount-" + name_ + ".log"; }

void Client::mount(const std::string& options, const std::vector<std::string>& flags) {
  std::vector<std::string> argv = {bin_folder() + "/coffer", "mount", mountpoint(), "--foreground", "--home", home()};
  if (!options.empty()) argv.insert(argv.end(), {"-o", options});
  argv.insert(argv.end(), flags.begin(), flags.end());
  process_ = std::make_unique<Process>(argv, log_file());
  const bool mounted = eventually([this] { return is_mounted() || !process_->runs(); }, seconds(60)) && is_mounted();
  ASSERT_TRUE(mounted) << "coffer mount failed:\n" << text_of(log_file());
}

bool Client::is_mounted() const { return is_mountpoint(mountpoint()); }

Finished Client::umount() {
  Finished finished = coffer({"umount", mountpoint()});
  if (finished.exit_code == 0) process_->wait(seconds(30));
  return finished;
}

void Client::kill9() {
  crash();
  run({"umount", "-l", mountpoint()});
}

void Client::crash() {
  process_->signal(SIGKILL);
  process_->wait(seconds(30));
}

Finished Client::coffer(std::vector<std::string> arguments, seconds deadline) const {
  arguments.insert(arguments.begin(), bin_folder() + "/coffer");
  arguments.insert(arguments.end(), {"--home", home()});
  return run(arguments, deadline);
}

std::unique_ptr<Process> Client::begin(std::vector<std::string> arguments) const {
  arguments.insert(arguments.begin(), bin_folder() + "/coffer");
  arguments.insert(arguments.end(), {"--home", home()});
  return std::make_unique<Process>(arguments, log_file());
}

Stage::Stage() {
  expect_done(cofferd({"init", "--host", "127.0.0.1"}), "cofferd init");
  start_server();
}

void Stage::start_server() {
  const std::string said = server_dir() + "/run/listen";
  std::filesystem::remove(said);
  server_ = std::make_unique<Process>(
      std::vector<std::string>{bin_folder() + "/cofferd", "serve", "--dir", server_dir(), "--listen", address_},
      server_log());
  const bool listens =
      eventually([&] { return !text_of(said).empty() || !server_->runs(); }, seconds(30)) && server_->runs();
  ASSERT_TRUE(listens) << "cofferd serve failed:\n" << text_of(server_log());
  address_ = without_newline(text_of(said));
}

int Stage::stop_server() {
  server_->signal(SIGTERM);
  return server_->wait(seconds(30));
}

void Stage::kill9_server() {
  server_->signal(SIGKILL);
  server_->wait(seconds(30));
  server_.reset();
}

Finished Stage::cofferd(std::vector<std::string> arguments) const {
  arguments.insert(arguments.begin(), bin_folder() + "/cofferd");
  arguments.insert(arguments.end(), {"--dir", server_dir()});
  return run(arguments, seconds(120));
}

Client& Stage::client(const std::string& name, const std::string& vault) {
  std::unique_ptr<Client>& client = clients_[name];
  if (client == nullptr) client = std::make_unique<Client>(*this, name, vault);
  return *client;
}

std::uint64_t stored_bytes(const Stage& stage) {
  std::uint64_t bytes = 0;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(stage.server_dir() + "/vaults")) {
    if (entry.path().extension() == ".pack") bytes += entry.file_size();
  }
  return bytes;
}

bool can_mount() {
  const int fd = open("/dev/fuse", O_RDWR | O_CLOEXEC);
  if (fd >= 0) close(fd);
  return fd >= 0;
}

std::string listing(const std::string& folder) {
  // Size and link count of a folder are its file system's own affair.
  const Finished found = shell("cd '" + folder +
                                   "' && find . \\( -type d -printf '%p d %m %U %G %T@\\n' \\) -o \\( -printf '%p %y "
                                   "%m %U %G %s %T@ %n %l\\n' \\) | LC_ALL=C sort"
                                   " && find . -type f -print0 | LC_ALL=C sort -z | xargs -0 -r sha256sum",
                               seconds(600));
  EXPECT_EQ(found.exit_code, 0) << found.err;
  return found.out;
}

}  // namespace coffer::testing
