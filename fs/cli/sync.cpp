// coffer sync: returns when everything that was written before is committed.
#include <fcntl.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cerrno>
#include <iostream>
#include <memory>

#include "fs/cli/command.h"
#include "fs/cli/progress.h"
#include "fs/control/control_client.h"

namespace coffer::cli {

namespace {

struct SyncOptions {
  std::string mountpoint;
  unsigned timeout_s = 0;
};

// The kernel's dirty pages come first: they are not in the client's process yet.
Result<void> write_back(const std::string& mountpoint) {
  const int fd = ::open(mountpoint.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return os_error(errno, "open " + mountpoint);
  const int synced = ::syncfs(fd);
  const int failure = errno;
  ::close(fd);
  if (synced != 0) return os_error(failure, "syncfs " + mountpoint);
  return {};
}

Result<int> not_mounted(const vault::VaultFolder& folder) {
  COFFER_TRY(const vault::Status status, vault::status_unmounted(folder));
  if (status.all_committed()) {
    std::cout << vault::to_sentence(status) << "\n";
    return kDone;
  }
  std::cerr << "coffer: " << vault::to_sentence(status) << "\nMount the vault to go on: coffer mount MOUNTPOINT\n";
  return kNotCommitted;
}

Result<int> sync(const SyncOptions& options, const CommandLine& line) {
  COFFER_TRY(const vault::VaultFolder folder, line.folder(options.mountpoint));
  const std::optional<vault::Holder> holder = vault::holder_of(folder);
  if (!holder || holder->mountpoint.empty()) return not_mounted(folder);
  COFFER_DO(write_back(holder->mountpoint));
  const control::ControlClient control(folder.control());
  Result<void> synced;
  {
    UploadProgress progress;
    synced = control.sync(std::chrono::seconds(options.timeout_s),
                          [&](const vault::Status& status) { progress.show(status); });
  }
  if (!synced) {
    std::cerr << "coffer: not everything is committed: " << synced.error().what << "\n";
    return kNotCommitted;
  }
  return kDone;
}

}  // namespace

void add_sync(CLI::App& app, CommandLine& line) {
  CLI::App* const command = app.add_subcommand("sync", "Wait until everything written before is committed");
  const auto options = std::make_shared<SyncOptions>();
  command->add_option("mountpoint", options->mountpoint, "Where the vault is mounted; not needed with one vault");
  command->add_option("--timeout", options->timeout_s, "Seconds to wait; then exit code 3");
  command->callback([options, &line] { line.action = [options, &line] { return sync(*options, line); }; });
}

}  // namespace coffer::cli
