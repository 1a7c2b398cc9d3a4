// coffer status: is it safe?
#include <CLI/CLI.hpp>
#include <fstream>
#include <iostream>
#include <memory>
#include <thread>

#include "fs/cli/command.h"
#include "fs/cli/progress.h"
#include "fs/control/control_client.h"

namespace coffer::cli {

namespace {

constexpr auto kWatchInterval = std::chrono::milliseconds(500);

struct StatusOptions {
  std::string mountpoint;
  bool json = false;
  bool watch = false;
};

Result<vault::Status> status_of(const vault::VaultFolder& folder) {
  Result<vault::Status> status = control::ControlClient(folder.control()).status();
  if (status || status.error().fault != Fault::offline) return status;
  return vault::status_unmounted(folder);
}

// A mount of another home tells its status too.
std::optional<vault::Status> status_in_mount(const std::string& mountpoint) {
  std::ifstream file(mountpoint + "/.coffer/status");
  const std::string text{std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
  return vault::status_from_json(text);
}

Result<int> watch(const vault::VaultFolder& folder) {
  UploadProgress progress;
  for (;;) {
    COFFER_TRY(const vault::Status status, status_of(folder));
    if (status.all_committed() || !status.mounted) {
      std::cout << vault::to_sentence(status) << "\n";
      return status.all_committed() ? kDone : kNotCommitted;
    }
    progress.show(status);
    std::this_thread::sleep_for(kWatchInterval);  // For a person to look at.
  }
}

Result<int> show(const StatusOptions& options, const CommandLine& line) {
  const Result<vault::VaultFolder> folder = line.folder(options.mountpoint);
  std::optional<vault::Status> status;
  if (!folder && !options.mountpoint.empty()) status = status_in_mount(options.mountpoint);
  if (!status) {
    if (!folder) return folder.error();
    if (options.watch) return watch(*folder);
    COFFER_TRY(status, status_of(*folder));
  }
  std::cout << (options.json ? vault::to_json(*status) : vault::to_sentence(*status)) << "\n";
  return status->all_committed() ? kDone : kNotCommitted;
}

}  // namespace

void add_status(CLI::App& app, CommandLine& line) {
  CLI::App* const command =
      app.add_subcommand("status", "Say what is safe and what is not; 0 only if everything is committed, else 3");
  const auto options = std::make_shared<StatusOptions>();
  command->add_option("mountpoint", options->mountpoint, "Where the vault is mounted; not needed with one vault");
  command->add_flag("--json", options->json, "One line of JSON");
  command->add_flag("--watch", options->watch, "Show a progress bar until everything is committed");
  command->callback([options, &line] { line.action = [options, &line] { return show(*options, line); }; });
}

}  // namespace coffer::cli
