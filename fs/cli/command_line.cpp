#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <iostream>
#include <sstream>
#include <utility>

#include "common/base/text.h"
#include "fs/cli/command.h"
#include "fs/cli/mounted.h"
#include "fs/cli/terminal.h"

namespace coffer::cli {

namespace {

// No errno of ours: it marks what usage() made on its way to report().
constexpr int kUsageCode = -2;

// A sentence for a person, also where only an errno is known.
std::string text_of(const Error& error) {
  if (!error.what.empty()) return error.what;
  return error.code != 0 ? std::strerror(error.code) : std::string(fault_name(error.fault));  // NOLINT
}

int report(const Error& error) {
  std::istringstream lines(text_of(error));
  std::cerr << "coffer: ";
  for (std::string line; std::getline(lines, line);) std::cerr << shown(line, STDERR_FILENO) << "\n";
  return error.fault == Fault::refused && error.code == kUsageCode ? kWrongUsage : kFailed;
}

}  // namespace

Error usage(std::string what) { return {Fault::refused, kUsageCode, std::move(what)}; }

Result<std::chrono::seconds> parse_time(const std::string& name, const std::string& value) {
  constexpr std::uint64_t kTimeMax = 366ull * 24 * 3600;
  const Result<std::uint64_t> seconds = base::parse_seconds(value);
  if (!seconds) return usage(name + " is a time such as 30s or 5m, not '" + value + "'");
  if (*seconds > kTimeMax) return usage(name + " must be at most a year");
  return std::chrono::seconds(*seconds);
}

std::string absolute(const std::string& path) {
  std::error_code failure;
  std::filesystem::path full = std::filesystem::weakly_canonical(std::filesystem::absolute(path), failure);
  // A dead mountpoint cannot be looked at: its folder can.
  if (failure) {
    const std::filesystem::path plain = std::filesystem::absolute(path).lexically_normal();
    const std::filesystem::path named = plain.has_filename() ? plain : plain.parent_path();
    full = std::filesystem::weakly_canonical(named.parent_path(), failure) / named.filename();
  }
  std::string text = full.string();
  while (text.size() > 1 && text.back() == '/') text.pop_back();
  return text;
}

Result<vault::VaultFolder> CommandLine::folder(const std::string& mountpoint) const {
  if (home.empty() && !mountpoint.empty()) {
    if (std::optional<vault::VaultFolder> found = folder_of_mount(absolute(mountpoint))) return *std::move(found);
  }
  COFFER_TRY(const vault::Home of_home, vault::Home::find(home));
  if (mountpoint.empty() || !vault.empty()) return of_home.choose(vault);
  const std::string path = absolute(mountpoint);
  COFFER_TRY(const std::vector<std::string> names, of_home.vault_names());
  for (const std::string& name : names) {
    const std::optional<vault::Holder> holder = vault::holder_of(of_home.folder(name));
    if (holder && holder->mountpoint == path) return of_home.folder(name);
  }
  for (const std::string& name : names) {
    const Result<vault::VaultSettings> settings = vault::read_settings(of_home.folder(name));
    if (settings && settings->mountpoint == path) return of_home.folder(name);
  }
  if (names.empty()) return of_home.choose("");
  return Error{Fault::refused, ENOENT,
               "no vault of " + of_home.path() + " is mounted at " + path +
                   ": give the --home that it was mounted from, or another mountpoint"};
}

void KeyOptions::add_to(CLI::App& command) {
  command.add_option("--key-file", key_file, "Open the vault with this key file");
  command.add_option("--passphrase-file", passphrase_file, "Open it with the passphrase in this file's first line");
  command.add_option("--recovery-key-file", recovery_key_file, "Open it with the recovery key in this file");
  command.add_option("--recovery-key", recovery_key,
                     "Open it with this recovery key (others see it in the process list)");
}

vault::KeySource KeyOptions::source(const vault::VaultSettings& settings) const {
  vault::KeySource from;
  if (!key_file.empty()) from.key_file = absolute(key_file);
  from.passphrase_file = passphrase_file;
  from.recovery_key_file = recovery_key_file;
  if (!recovery_key.empty()) from.recovery_key = crypto::Secret::copy_of(as_bytes(recovery_key));
  if (!from.names_any()) from.key_file = settings.key_file;
  const char* variable = std::getenv("COFFER_PASSPHRASE_FILE");  // NOLINT(concurrency-mt-unsafe): before any thread.
  if (!from.names_any() && variable != nullptr) from.passphrase_file = variable;
  if (!from.names_any() && has_terminal()) {
    from.ask_passphrase = [name = settings.name](bool again) {
      return ask_secret((again ? "Wrong passphrase. " : "") + std::string("Passphrase of vault ") + name + ": ");
    };
  }
  return from;
}

int run(int argc, const char* const* argv) {
  CLI::App app{"Coffer: a folder that keeps itself safe somewhere else", "coffer"};
  CommandLine line;
  app.add_option("--home", line.home, "Folder for all that coffer keeps here (or COFFER_HOME)");
  app.add_option("--vault", line.vault, "Name of the vault, where there are several");
  app.require_subcommand(1);
  app.fallthrough();
  for (const auto add : {add_enroll, add_mount, add_umount, add_status, add_sync, add_verify, add_put, add_get, add_ls,
                         add_owed, add_spool, add_key, add_inspect, add_doctor, add_check, add_recover}) {
    add(app, line);
  }
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    if (error.get_exit_code() == 0) return app.exit(error);  // --help
    std::string what = error.what();
    // CLI11 says only that a command is missing.
    const std::vector<std::string> left = app.remaining();
    if (app.get_subcommands().empty() && !left.empty()) what = "there is no command '" + left.front() + "'";
    while (!what.empty() && (what.back() == '\n' || what.back() == '.')) what.pop_back();
    std::cerr << "coffer: " << what << "; see `coffer --help`\n";
    return kWrongUsage;
  }
  try {
    if (!line.action_forks) crypto::protect_process_memory();
    const Result<int> done = line.action();
    return done ? *done : report(done.error());
  } catch (const std::exception& failure) {  // Of a library: the edge of the program.
    std::cerr << "coffer: " << shown(failure.what(), STDERR_FILENO) << "\n";
    return kFailed;
  }
}

}  // namespace coffer::cli
