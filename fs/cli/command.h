// `coffer`: one file for each command.
#pragma once

#include <chrono>
#include <functional>
#include <string>

#include "common/base/result.h"
#include "fs/vault/home.h"
#include "fs/vault/key_source.h"

namespace CLI {
class App;
}

namespace coffer::cli {

/// What a program tells whoever started it.
inline constexpr int kDone = 0;
inline constexpr int kFailed = 1;
inline constexpr int kWrongUsage = 2;
inline constexpr int kNotCommitted = 3;
inline constexpr int kCorrupt = 4;

/// What the command line said: options of all commands, and what the chosen command is to do.
struct CommandLine {
  std::string home;   ///< --home
  std::string vault;  ///< --vault
  /// The action calls crypto::protect_process_memory() itself: locked pages do not survive fork(2).
  bool action_forks = false;
  /// An exit code, or an Error, which becomes a line on stderr and kFailed, or kWrongUsage if usage() made it.
  std::function<Result<int>()> action;

  /// The vault that is meant: what is mounted there, whatever its home, unless --home says which; by --vault; or the
  /// only one.
  Result<vault::VaultFolder> folder(const std::string& mountpoint = "") const;
};

/// For an argument that cannot be right, whatever the vault holds.
Error usage(std::string what);
/// Of the option `name`: "90", "90s", "15m", "24h", "7d", at most a year; else usage().
Result<std::chrono::seconds> parse_time(const std::string& name, const std::string& value);

/// Options that say how a vault is opened.
struct KeyOptions {
  std::string key_file, passphrase_file, recovery_key_file, recovery_key;

  void add_to(CLI::App& command);
  /// These; else the key file of the enrolment, COFFER_PASSPHRASE_FILE, or the terminal.
  vault::KeySource source(const vault::VaultSettings& settings) const;
};

/// Each adds a subcommand, which sets `line.action` when it is chosen.
void add_enroll(CLI::App& app, CommandLine& line);
void add_mount(CLI::App& app, CommandLine& line);
void add_umount(CLI::App& app, CommandLine& line);
void add_status(CLI::App& app, CommandLine& line);
void add_sync(CLI::App& app, CommandLine& line);
void add_verify(CLI::App& app, CommandLine& line);
void add_put(CLI::App& app, CommandLine& line);
void add_get(CLI::App& app, CommandLine& line);
void add_ls(CLI::App& app, CommandLine& line);
void add_owed(CLI::App& app, CommandLine& line);
void add_spool(CLI::App& app, CommandLine& line);
void add_key(CLI::App& app, CommandLine& line);
void add_inspect(CLI::App& app, CommandLine& line);
void add_doctor(CLI::App& app, CommandLine& line);
void add_check(CLI::App& app, CommandLine& line);
void add_recover(CLI::App& app, CommandLine& line);

/// The whole program.
int run(int argc, const char* const* argv);

/// An absolute path without symbolic links in its folders; the last part need not exist.
std::string absolute(const std::string& path);

}  // namespace coffer::cli
