// coffer mount: opens the vault, mounts it, and serves the kernel until it is unmounted.
#include "fs/ops/mount.h"

#include <sys/stat.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <iostream>
#include <memory>
#include <optional>
#include <stop_token>
#include <thread>
#include <utility>

#include "common/base/log.h"
#include "common/crypto/wipe.h"
#include "common/os/heap.h"
#include "fs/cli/background.h"
#include "fs/cli/command.h"
#include "fs/cli/mount_options.h"
#include "fs/control/control_server.h"
#include "fs/ops/mountpoint.h"
#include "fs/vault/vault.h"

namespace coffer::cli {

namespace {

constexpr auto kClosingTime = std::chrono::seconds(20);

struct MountCommand {
  std::string mountpoint;
  std::vector<std::string> options;
  bool foreground = false;
  bool take_lease = false;
  KeyOptions key;
};

/// SIGTERM and SIGINT unmount, as `coffer umount --now` does. Made before any thread, which all leave the signals to
/// the one of watch().
class Signals {
 public:
  Signals() {
    ::sigemptyset(&set_);
    ::sigaddset(&set_, SIGTERM);
    ::sigaddset(&set_, SIGINT);
    ::sigaddset(&set_, SIGHUP);
    ::sigaddset(&set_, SIGUSR1);  // Ends watch().
    ::pthread_sigmask(SIG_BLOCK, &set_, nullptr);
    std::signal(SIGPIPE, SIG_IGN);
  }
  ~Signals() {
    if (!thread_.joinable()) return;
    ::pthread_kill(thread_.native_handle(), SIGUSR1);
    thread_.join();
  }
  void watch(std::function<void()> asked_to_end) {
    thread_ = std::thread([this, asked_to_end = std::move(asked_to_end)] {
      int number = 0;
      while (::sigwait(&set_, &number) == 0 && number != SIGUSR1) asked_to_end();
    });
  }

 private:
  ::sigset_t set_{};
  std::thread thread_;
};

std::string welcome(const vault::Vault& opened, const std::string& mountpoint, bool asked_read_only) {
  const vault::Status status = opened.status();
  std::string text = "Vault " + status.vault + " is mounted at " + mountpoint;
  if (!opened.is_read_only()) {
    text += ".";
  } else if (status.lease == "lost") {
    text += ", read-only.";  // The problems say why.
  } else if (!status.lease_holder.empty()) {
    text += ", read-only: client " + status.lease_holder +
            " has it open for writing (--take-lease takes the right to write away from it).";
  } else {
    text += asked_read_only ? ", read-only." : ", read-only: this client may not write to it.";
  }
  if (status.link != "online") text += " The server cannot be reached now: " + status.link_why + ".";
  for (const std::string& problem : status.problems) text += "\nProblem: " + problem;
  return text + "\n";
}

// Builds upwards, serves, and takes down in the other order.
Result<void> serve(const vault::VaultFolder& folder, const vault::VaultSettings& settings, const MountCommand& command,
                   const ParsedMountOptions& options, const std::function<void(const std::string&)>& ready) {
  os::keep_freed_memory();
  crypto::protect_process_memory();
  Signals signals;
  COFFER_TRY(const std::unique_ptr<vault::Vault> opened,
             vault::Vault::open(folder, options.vault, command.key.source(settings)));
  std::shared_ptr<ops::Mount> mount;
  ops::MountOptions mount_options;
  mount_options.mountpoint = options.vault.mountpoint;
  mount_options.options = options.for_kernel;
  mount_options.read_only = opened->is_read_only();
  mount_options.shown = options.shown;
  if (opened->is_read_only()) mount_options.cache_time = std::chrono::seconds(1);
  mount_options.on_ready = [&] { ready(welcome(*opened, options.vault.mountpoint, options.vault.read_only)); };
  COFFER_TRY(mount, ops::Mount::mount(opened->file_system(), mount_options));
  opened->on_changed([weak = std::weak_ptr(mount)](const meta::Changed& changed) {
    const std::shared_ptr<ops::Mount> still_there = weak.lock();
    if (!still_there) return;
    for (const InodeId inode : changed.inodes) still_there->notify_invalidate(inode);
    for (const auto& [parent, name] : changed.names) still_there->notify_invalidate(parent, name);
  });
  Result<void> served;
  {
    COFFER_TRY(const std::unique_ptr<control::ControlServer> control,
               control::ControlServer::listen(
                   folder.control(), *opened, [&](bool lazy) { return mount->unmount(lazy); },
                   [&](const std::stop_token& stop) { return mount->push_kernel_pages(stop); }));
    signals.watch([&] { mount->stop(); });
    log::info("mounted", {{"read_only", opened->is_read_only() ? "yes" : "no"}});
    served = mount->run();
  }
  opened->on_changed({});
  Result<void> closed = opened->close();
  log::info("unmounted");
  return served ? std::move(closed) : std::move(served);
}

/// umount(8) returns when the mount is gone; the process behind it needs a moment more to close the vault, and whoever
/// mounts it again at once waits for that. A vault that is mounted is refused at once.
Result<void> wait_until_free(const vault::VaultFolder& folder) {
  const auto deadline = std::chrono::steady_clock::now() + kClosingTime;
  for (;;) {
    const Result<vault::FolderLock> free = vault::FolderLock::take(folder, "");
    if (free) return {};
    if (free.error().code != EBUSY || std::chrono::steady_clock::now() > deadline) return free.error();
    const std::optional<vault::Holder> holder = vault::holder_of(folder);
    // One without a number has taken its name out and is about to let go.
    const bool is_ending = !holder || holder->pid == 0;
    if (!is_ending && (holder->mountpoint.empty() || !ops::mounted_type(holder->mountpoint).empty())) {
      return free.error();
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
}

Result<int> mount(const MountCommand& command, const CommandLine& line) {
  COFFER_TRY(ParsedMountOptions options, parse_mount_options(command.options));
  if (command.take_lease && options.vault.read_only) return usage("--take-lease is of no use with -o ro");
  options.vault.force_lease = command.take_lease;
  COFFER_TRY(const vault::VaultFolder folder, line.folder());
  COFFER_TRY(const vault::VaultSettings settings, vault::read_settings(folder));
  // Before anything else takes time: a vault that is mounted elsewhere, and a mountpoint that cannot be one.
  COFFER_DO(wait_until_free(folder));
  COFFER_TRY(options.vault.mountpoint, ops::prepare_mountpoint(command.mountpoint));
  if (command.foreground) {
    COFFER_DO(
        serve(folder, settings, command, options, [](const std::string& text) { std::cout << text << std::flush; }));
    return kDone;
  }
  return run_in_background(folder.log(), [&](const Readiness& readiness) {
    std::atomic<bool> is_ready{false};
    const Result<void> served = serve(folder, settings, command, options, [&](const std::string& text) {
      is_ready = true;
      readiness.ready(text);
    });
    if (served) return kDone;
    log::error("mount_failed", {{"why", served.error().what}});
    if (!is_ready) readiness.failed("coffer: " + served.error().what + "\n", kFailed);
    return kFailed;
  });
}

}  // namespace

void add_mount(CLI::App& app, CommandLine& line) {
  CLI::App* const command = app.add_subcommand("mount", "Mount the vault; returns when it is usable");
  const auto options = std::make_shared<MountCommand>();
  command->add_option("mountpoint", options->mountpoint, "An empty folder")->required();
  command->add_option("-o", options->options,
                      "compression=zstd:3|zlib:6|none|auto, fsync=server|local, cache_size=10G, read_timeout=30s, ro, "
                      "noatime, allow_other …");
  command->add_flag("--foreground,-f", options->foreground, "Stay in the foreground, with the log on stderr");
  command->add_flag("--take-lease", options->take_lease,
                    "Take the right to write from the client that has it; what that one still owes stays there");
  options->key.add_to(*command);
  command->callback([options, &line] {
    line.action_forks = true;
    line.action = [options, &line] { return mount(*options, line); };
  });
}

}  // namespace coffer::cli
