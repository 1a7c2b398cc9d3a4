// A server and clients as real processes, with real mounts: what a person who types the commands has.
//
//     Stage stage;
//     Client& first = stage.client("first");
//     first.mount();
//     ... files below first.mountpoint() ...
//     first.sync();
//
// Everything lies in one temporary folder. Failures to set up end the test with what the command said.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "tests/testing/command.h"
#include "tests/testing/temp_dir.h"

namespace coffer::testing {

class Stage;

/// One enrolled client with a home of its own; unmounted with the object.
class Client {
 public:
  Client(const Stage& stage, std::string name, std::string vault);
  ~Client();
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;

  std::string home() const;
  std::string mountpoint() const;
  std::string log_file() const;

  /// Mounts in a process of our own (--foreground), with `options` behind -o, and waits until it is usable.
  void mount(const std::string& options = "") { mount(options, {}); }
  /// With `flags` too, such as --take-lease.
  void mount(const std::string& options, const std::vector<std::string>& flags);
  bool is_mounted() const;
  /// Whether the process of mount() is there.
  bool is_running() const { return process_ && process_->runs(); }
  /// `coffer umount`, which waits for the server.
  Finished umount();
  /// kill -9 of the mounted client, and away with the dead mountpoint.
  void kill9();
  /// kill -9 alone: what it leaves at the mountpoint is the next mount's to clear.
  void crash();
  pid_t pid() const { return process_ ? process_->pid() : -1; }

  /// `coffer ARGS... --home HOME`
  Finished coffer(std::vector<std::string> arguments, std::chrono::seconds deadline = std::chrono::seconds(120)) const;
  Finished sync() const { return coffer({"sync", mountpoint()}); }
  /// The same beside the test, which may kill it; what it says is in log_file().
  std::unique_ptr<Process> begin(std::vector<std::string> arguments) const;

 private:
  const Stage& stage_;
  std::string name_;
  std::unique_ptr<Process> process_;
};

class Stage {
 public:
  Stage();

  std::string folder() const { return folder_.path().string(); }
  std::string server_dir() const { return folder() + "/server"; }
  std::string server_log() const { return folder() + "/cofferd.log"; }
  /// The vault's key file; clients that join it enrol with the same.
  std::string key_file(const std::string& vault) const { return folder() + "/" + vault + ".key"; }
  std::string address() const { return address_; }

  void start_server();
  /// SIGTERM; returns the exit code.
  int stop_server();
  void kill9_server();
  pid_t server_pid() const { return server_ ? server_->pid() : -1; }
  Finished cofferd(std::vector<std::string> arguments) const;

  /// Clients that are enrolled from now on know the server by this HOST:PORT, such as a proxy's.
  void reach_server_at(std::string address) { client_address_ = std::move(address); }
  const std::string& client_address() const { return client_address_; }

  /// The client of that name, enrolled at the first call: for a vault of its own, or to join `vault` with its key file.
  Client& client(const std::string& name, const std::string& vault = "");

 private:
  TempDir folder_;
  std::string address_ = "127.0.0.1:0";
  std::string client_address_;  // Empty: where it listens.
  std::unique_ptr<Process> server_;
  std::map<std::string, std::unique_ptr<Client>> clients_;
};

/// Bytes in the packs of all vaults: what clients have sent.
std::uint64_t stored_bytes(const Stage& stage);

/// False where this machine has no /dev/fuse that can be opened: such tests are skipped then.
bool can_mount();

/// A line for each path below `folder`: type, mode, owner, size, mtime in nanoseconds, link count, link target, sha256.
/// Two folders with equal lists hold the same tree.
std::string listing(const std::string& folder);

}  // namespace coffer::testing
