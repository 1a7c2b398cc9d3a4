// coffer owed: what the server does not have yet, and the way out where it cannot be sent.
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <array>
#include <ctime>
#include <iostream>
#include <memory>

#include "common/base/text.h"
#include "fs/cli/command.h"
#include "fs/cli/terminal.h"
#include "fs/control/control_client.h"
#include "fs/control/owed_json.h"
#include "fs/vault/vault.h"

namespace coffer::cli {

namespace {

struct OwedOptions {
  std::string mountpoint;
  std::string to;
  bool json = false;
  bool lose_unexported = false;
  KeyOptions key;
};

std::string local_time(std::int64_t since_1970_ns) {
  const std::time_t seconds = since_1970_ns / 1'000'000'000;
  std::tm broken_down{};
  ::localtime_r(&seconds, &broken_down);
  std::array<char, 64> text{};
  std::strftime(text.data(), text.size(), "%F %T", &broken_down);
  return text.data();
}

std::string joined(const std::vector<std::string>& words) {
  std::string text;
  for (const std::string& word : words) text += (text.empty() ? "" : ", ") + word;
  return text;
}

Result<int> list(const OwedOptions& options, const CommandLine& line) {
  COFFER_TRY(const vault::VaultFolder folder, line.folder(options.mountpoint));
  COFFER_TRY(const vault::VaultSettings settings, vault::read_settings(folder));
  Result<std::vector<vault::OwedEntry>> owed = control::ControlClient(folder.control()).owed();
  if (!owed && owed.error().fault == Fault::offline) owed = vault::owed_unmounted(folder);
  if (!owed) return std::move(owed).error();
  if (options.json) {
    nlohmann::ordered_json all{{"vault", settings.name}, {"owed", nlohmann::ordered_json::array()}};
    for (const vault::OwedEntry& entry : *owed) all["owed"].push_back(control::to_json(entry));
    std::cout << all.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace) << "\n";
  } else if (owed->empty()) {
    std::cout << "Nothing is owed: everything is committed on " << settings.server.host << ".\n";
  } else {
    for (const vault::OwedEntry& entry : *owed) {
      std::cout << shown(entry.path) << "\n    " << joined(entry.what);
      if (entry.bytes > 0) std::cout << " (" << base::format_size(entry.bytes) << ")";
      std::cout << ", since " << local_time(entry.since_ns) << ": " << shown(entry.why) << "\n";
    }
  }
  return owed->empty() ? kDone : kNotCommitted;
}

// In the process that has it mounted, or here where none has.
Result<vault::ExportReport> export_to(const std::string& to, const OwedOptions& options,
                                      const vault::VaultFolder& folder, const vault::ExportProgress& progress) {
  if (vault::holder_of(folder)) return control::ControlClient(folder.control()).export_owed(to, progress);
  COFFER_TRY(const vault::VaultSettings settings, vault::read_settings(folder));
  COFFER_TRY(const std::vector<vault::OwedEntry> owed, vault::owed_unmounted(folder));
  if (owed.empty()) return vault::ExportReport();  // No server need be asked.
  vault::Options read_only;
  read_only.read_only = true;
  COFFER_TRY(const std::unique_ptr<vault::Vault> opened,
             vault::Vault::open(folder, read_only, options.key.source(settings)));
  COFFER_TRY(vault::ExportReport report, opened->export_owed(to, progress, {}));
  COFFER_DO(opened->close());
  return report;
}

Result<int> export_owed(const OwedOptions& options, const CommandLine& line) {
  COFFER_TRY(const vault::VaultFolder folder, line.folder(options.mountpoint));
  ProgressLine progress;
  const std::string to = absolute(options.to);
  COFFER_TRY(const vault::ExportReport report,
             export_to(to, options, folder, [&](std::uint64_t done, std::uint64_t of) {
               progress.show(done, of, std::to_string(done) + " of " + std::to_string(of));
             }));
  for (const std::string& path : report.removed)
    std::cout << shown(path) << ": removed here; there is nothing to export\n";
  for (const vault::NotExported& one : report.not_exported) {
    std::cerr << "coffer: " << shown(one.path, STDERR_FILENO) << " is not exported: " << shown(one.what, STDERR_FILENO)
              << "\n";
  }
  std::cout << report.files << (report.files == 1 ? " file" : " files") << " and " << report.folders
            << (report.folders == 1 ? " folder, " : " folders, ") << base::format_size(report.bytes) << ", are in "
            << options.to << ".\n";
  if (!report.is_complete()) {
    std::cerr << "coffer: not everything that is only here could be exported; it stays owed\n";
    return kFailed;
  }
  return kDone;
}

Result<int> drop(const OwedOptions& options, const CommandLine& line) {
  COFFER_TRY(const vault::VaultFolder folder, line.folder(options.mountpoint));
  if (const std::optional<vault::Holder> holder = vault::holder_of(folder)) {
    return Error{Fault::refused, EBUSY,
                 "the vault is mounted" + (holder->mountpoint.empty() ? "" : " at " + holder->mountpoint) +
                     ": run `coffer umount --now` first"};
  }
  COFFER_TRY(const bool was_owed, vault::drop_owed(folder, options.lose_unexported));
  std::cout << (was_owed ? "What was owed is given up; the next mount fetches the tree from the server.\n"
                         : "Nothing is owed.\n");
  return kDone;
}

}  // namespace

void add_owed(CLI::App& app, CommandLine& line) {
  CLI::App* const owed = app.add_subcommand("owed", "What the server does not have yet, and the way out for it");
  owed->require_subcommand(1);
  const auto options = std::make_shared<OwedOptions>();
  constexpr const char* kMountpoint = "Where the vault is mounted; not needed with one vault";

  CLI::App* const list_command =
      owed->add_subcommand("list", "Path by path: what of it, since when, and why it does not go; 0 only if nothing");
  list_command->add_option("mountpoint", options->mountpoint, kMountpoint);
  list_command->add_flag("--json", options->json, "One line of JSON");
  list_command->callback([options, &line] { line.action = [options, &line] { return list(*options, line); }; });

  CLI::App* const export_command = owed->add_subcommand(
      "export",
      "Write it out in plain, with paths, modes and times; overwrites nothing; needs neither mount nor server");
  export_command->add_option("folder", options->to, "Folder of this machine; made where it is missing")->required();
  export_command->add_option("mountpoint", options->mountpoint, kMountpoint);
  options->key.add_to(*export_command);
  export_command->callback(
      [options, &line] { line.action = [options, &line] { return export_owed(*options, line); }; });

  CLI::App* const drop_command = owed->add_subcommand(
      "drop", "Give it up, once it is unmounted and exported; the next mount starts from what the server has");
  drop_command->add_option("mountpoint", options->mountpoint, kMountpoint);
  drop_command->add_flag("--lose-unexported", options->lose_unexported, "Also what was not exported. It is lost");
  drop_command->callback([options, &line] { line.action = [options, &line] { return drop(*options, line); }; });
}

}  // namespace coffer::cli
