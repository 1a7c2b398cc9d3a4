// coffer check: is what this machine keeps of the vault sound?
#include <CLI/CLI.hpp>
#include <iostream>
#include <memory>
#include <nlohmann/json.hpp>

#include "common/base/text.h"
#include "fs/cli/command.h"
#include "fs/cli/terminal.h"
#include "fs/vault/home_check.h"

namespace coffer::cli {

namespace {

using nlohmann::json;

constexpr std::size_t kPathsShown = 20;

struct CheckOptions {
  std::string mountpoint;
  bool read_data = false;
  bool json = false;
  KeyOptions key;
};

json to_json(const vault::HomeReport& report) {
  json findings = json::array();
  for (const vault::HomeFinding& finding : report.findings) {
    findings.push_back(
        {{"where", finding.where}, {"what", finding.what}, {"remedy", finding.remedy}, {"paths", finding.paths}});
  }
  return {{"well", report.is_well()},          {"files", report.files},
          {"chunks", report.chunks},           {"spool_chunks", report.spool_chunks},
          {"spool_bytes", report.spool_bytes}, {"owed_chunks", report.owed_chunks},
          {"head_seq", report.head_seq},       {"head_hash", report.head_hash},
          {"findings", std::move(findings)},   {"notes", report.notes}};
}

void print(const vault::HomeReport& report, bool read_data) {
  for (const vault::HomeFinding& finding : report.findings) {
    std::cout << shown(finding.where) << ": " << shown(finding.what) << "\n";
    for (std::size_t i = 0; i < finding.paths.size() && i < kPathsShown; ++i) {
      std::cout << "    " << shown(finding.paths[i]) << "\n";
    }
    if (finding.paths.size() > kPathsShown) {
      std::cout << "    and " << finding.paths.size() - kPathsShown << " more files (--json names all)\n";
    }
    std::cout << "  do: " << shown(finding.remedy) << "\n";
  }
  for (const std::string& note : report.notes) std::cout << "Note: " << shown(note) << "\n";
  std::cout << report.files << " files, " << report.spool_chunks << " chunks in the spool ("
            << base::format_size(report.spool_bytes) << "), "
            << (read_data ? std::string("all of them read") : std::to_string(report.owed_chunks) + " owed ones read")
            << (report.is_well() ? ": well.\n" : ": DAMAGED.\n");
}

Result<int> check(const CheckOptions& options, const CommandLine& line) {
  COFFER_TRY(const vault::VaultFolder folder, line.folder(options.mountpoint));
  const Result<vault::VaultSettings> settings = vault::read_settings(folder);
  vault::KeySource key = options.key.source(settings ? *settings : vault::VaultSettings());
  key.ask_passphrase = {};  // It is not worth a question.
  const vault::HomeReport report = vault::check_home(folder, key, options.read_data);
  if (options.json) {
    std::cout << to_json(report).dump(2, ' ', false, json::error_handler_t::replace) << "\n";
  } else {
    print(report, options.read_data);
  }
  return report.is_well() ? kDone : kCorrupt;
}

}  // namespace

void add_check(CLI::App& app, CommandLine& line) {
  CLI::App* const command = app.add_subcommand("check", "Examine what this machine keeps; 4 if something is damaged");
  const auto options = std::make_shared<CheckOptions>();
  command->add_option("mountpoint", options->mountpoint, "Where the vault is mounted; not needed with one vault");
  command->add_flag("--read-data", options->read_data, "Read every chunk of the spool, not only those that are owed");
  command->add_flag("--json", options->json, "For programs");
  options->key.add_to(*command);
  command->callback([options, &line] { line.action = [options, &line] { return check(*options, line); }; });
}

}  // namespace coffer::cli
