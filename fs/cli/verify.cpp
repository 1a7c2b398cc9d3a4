// coffer verify: asks the server for what it has, and compares.
#include <CLI/CLI.hpp>
#include <filesystem>
#include <iostream>
#include <memory>
#include <optional>

#include "common/base/text.h"
#include "fs/cli/command.h"
#include "fs/cli/mounted.h"
#include "fs/cli/terminal.h"
#include "fs/control/control_client.h"
#include "fs/vault/vault.h"

namespace coffer::cli {

namespace {

struct VerifyOptions {
  vault::VerifyRequest request;
  KeyOptions key;
};

Result<vault::VerifyReport> ask(const vault::VaultFolder& folder, const VerifyOptions& options) {
  ProgressLine line;
  const auto progress = [&](std::uint64_t done, std::uint64_t of) {
    line.show(done, of, std::to_string(done) + " of " + std::to_string(of) + " chunks");
  };
  Result<vault::VerifyReport> report = control::ControlClient(folder.control()).verify(options.request, progress);
  if (report || report.error().fault != Fault::offline || vault::holder_of(folder)) return report;
  COFFER_TRY(const vault::VaultSettings settings, vault::read_settings(folder));
  vault::Options open_options;
  open_options.read_only = true;
  COFFER_TRY(const std::unique_ptr<vault::Vault> opened,
             vault::Vault::open(folder, open_options, options.key.source(settings)));
  return opened->verify(options.request, progress, {});
}

int say(const vault::VerifyReport& report, const VerifyOptions& options) {
  for (const vault::Finding& finding : report.findings) {
    std::cout << shown(finding.path) << ": " << shown(finding.what) << "\n";
  }
  std::cout << report.files << " files, " << base::format_size(report.bytes) << ": " << report.chunks << " chunks ("
            << base::format_size(report.chunk_bytes) << ") "
            << (options.request.read_data ? "read back from the server and opened" : "hashed by the server");
  if (!options.request.against.empty()) {
    std::cout << ", " << report.compared_files << " files compared with " << shown(options.request.against);
  }
  if (report.findings.empty()) {
    std::cout << ": all good.\n";
    return kDone;
  }
  std::cout << ": " << report.findings.size() << (report.findings.size() == 1 ? " finding.\n" : " findings.\n");
  if (report.has(vault::Finding::Kind::corrupt)) {
    std::cerr << "coffer: the server holds damaged data: write those files again from a copy, and run `cofferd check "
                 "--read-data` on the server\n";
    return kCorrupt;
  }
  if (report.has(vault::Finding::Kind::different)) return kFailed;
  return kNotCommitted;
}

Result<int> verify(VerifyOptions options, const CommandLine& line) {
  std::optional<std::string> mountpoint;
  for (const std::string& path : options.request.paths) {
    if (!mountpoint) mountpoint = mountpoint_above(absolute(path));
  }
  COFFER_TRY(const vault::VaultFolder folder, line.folder(mountpoint.value_or("")));
  const std::optional<vault::Holder> holder = vault::holder_of(folder);
  // A path below the mountpoint means what lies there; any other one begins at the vault's root.
  for (std::string& path : options.request.paths) {
    const std::string full = absolute(path);
    if (holder && !holder->mountpoint.empty() && (full + "/").starts_with(holder->mountpoint + "/")) {
      path = full.substr(holder->mountpoint.size());
    }
    path = std::filesystem::path("/" + path).lexically_normal().string();
    while (path.size() > 1 && (path.back() == '/' || path.starts_with("//")))
      path.erase(path.back() == '/' ? path.size() - 1 : 0, 1);
  }
  if (!options.request.against.empty()) {
    if (options.request.paths.size() > 1) return usage("--against compares one folder with one path of the vault");
    if (!std::filesystem::exists(options.request.against)) {
      return usage(options.request.against + " is not there: --against wants a folder or a file of this machine");
    }
    options.request.against = absolute(options.request.against);
  }
  COFFER_TRY(const vault::VerifyReport report, ask(folder, options));
  return say(report, options);
}

}  // namespace

void add_verify(CLI::App& app, CommandLine& line) {
  CLI::App* const command =
      app.add_subcommand("verify", "Check what the server has; 4 if something is damaged, 3 if something is owed");
  const auto options = std::make_shared<VerifyOptions>();
  command->add_option("path", options->request.paths,
                      "Files or folders, below the mountpoint or from the vault's root; else everything");
  command->add_flag("--read-data", options->request.read_data,
                    "Read every chunk back and open it here; else the server hashes its copies");
  command->add_option("--against", options->request.against, "Compare with this local folder, file by file");
  options->key.add_to(*command);
  command->callback([options, &line] { line.action = [options, &line] { return verify(*options, line); }; });
}

}  // namespace coffer::cli
