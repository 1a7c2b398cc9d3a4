// coffer sync: returns when everything that was written before is committed.
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <iostream>
#include <memory>
#include <optional>
#include <string>

#include "fs/cli/command.h"
#include "fs/cli/progress.h"
#include "fs/cli/terminal.h"
#include "fs/control/control_client.h"

namespace coffer::cli {

namespace {

struct SyncOptions {
  std::string mountpoint;
  std::optional<std::string> timeout;  ///< None: as long as it takes.
};

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
  std::chrono::seconds timeout{0};
  if (options.timeout) {
    COFFER_TRY(timeout, parse_time("--timeout", *options.timeout));
    if (timeout.count() == 0) return usage("--timeout is at least 1s; without it, sync waits as long as it takes");
  }
  COFFER_TRY(const vault::VaultFolder folder, line.folder(options.mountpoint));
  const std::optional<vault::Holder> holder = vault::holder_of(folder);
  if (!holder || holder->mountpoint.empty()) return not_mounted(folder);
  const control::ControlClient control(folder.control());
  Result<void> synced;
  {
    UploadProgress progress;
    synced = control.sync(timeout, [&](const vault::Status& status) { return progress.show(status), true; });
  }
  if (!synced) {
    std::cerr << "coffer: not everything is committed: " << shown(synced.error().what, STDERR_FILENO) << "\n";
    return kNotCommitted;
  }
  return kDone;
}

}  // namespace

void add_sync(CLI::App& app, CommandLine& line) {
  CLI::App* const command = app.add_subcommand("sync", "Wait until everything written before is committed");
  const auto options = std::make_shared<SyncOptions>();
  command->add_option("mountpoint", options->mountpoint, "Where the vault is mounted; not needed with one vault");
  command->add_option("--timeout", options->timeout, "How long to wait (30, 30s, 5m); then exit code 3");
  command->callback([options, &line] { line.action = [options, &line] { return sync(*options, line); }; });
}

}  // namespace coffer::cli
