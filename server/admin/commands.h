// The commands of cofferd, each in the file of its name; command_line.cpp reads their options.
//
// A command prints what it has to say on stdout and returns the exit code (exit.h of fs/cli has the same numbers):
// 0 done, 4 corrupt data found. An Error is printed by run() as one sentence, with exit code 1; wrong usage is 2.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "common/base/result.h"

namespace coffer::admin {

inline constexpr int kExitDone = 0;
inline constexpr int kExitFailed = 1;
inline constexpr int kExitUsage = 2;
inline constexpr int kExitCorrupt = 4;

struct InitOptions {
  std::string dir;
  std::vector<std::string> hosts;
};
Result<int> init(const InitOptions& options);

struct ServeOptions {
  std::string dir;
  std::string listen;  ///< HOST:PORT; empty: as configured.
};
/// Returns when SIGTERM or SIGINT has come and everything has ended.
Result<int> serve(const ServeOptions& options);

struct InviteOptions {
  std::string dir;
  std::string name;
  std::string vault;  ///< Empty: a new one.
  bool read_only = false;
  std::uint64_t quota_bytes = 0;
  std::chrono::seconds valid = std::chrono::hours(24);
  std::string address;  ///< HOST:PORT; empty: the running server's, else as configured.
};
Result<int> invite(const InviteOptions& options);

struct ListOptions {
  std::string dir;
  bool json = false;
};
Result<int> clients(const ListOptions& options);
Result<int> vaults(const ListOptions& options);

struct AddClientOptions {
  std::string dir;
  bool json = false;
  std::string name;
  std::string certificate_file;
  std::string vault;
  bool read_only = false;
  std::uint64_t quota_bytes = 0;
  bool existing = false;  ///< One more certificate for a client that is there.
};
Result<int> add_client(const AddClientOptions& options);

struct RevokeOptions {
  std::string dir;
  bool json = false;
  std::string name;
};
Result<int> revoke(const RevokeOptions& options);

struct GrantOptions {
  std::string dir;
  bool json = false;
  std::string name;
  std::string vault;
  bool read_only = false;
};
Result<int> grant(const GrantOptions& options);

struct SlotsOptions {
  std::string dir;
  bool json = false;
  std::string vault;
  std::vector<std::uint64_t> restored;
  std::vector<std::uint64_t> removed;
};
/// Lists the vault's key slots, removed ones too, after it has changed what it was told to.
Result<int> slots(const SlotsOptions& options);

struct CheckOptions {
  std::string dir;
  bool json = false;
  bool read_data = false;
  bool rebuild_index = false;
};
Result<int> check(const CheckOptions& options);

/// Reads the command line and runs the command; returns the exit code.
int run(int argc, char** argv);

}  // namespace coffer::admin
