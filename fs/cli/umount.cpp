// coffer umount: waits until all is committed, then unmounts.
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cerrno>
#include <fstream>
#include <iostream>
#include <memory>
#include <sstream>
#include <thread>

#include "fs/cli/command.h"
#include "fs/cli/progress.h"
#include "fs/cli/terminal.h"
#include "fs/control/control_client.h"
#include "fs/ops/mount.h"
#include "fs/ops/mountpoint.h"

namespace coffer::cli {

namespace {

using std::chrono::steady_clock;
using namespace std::chrono_literals;

constexpr auto kPoll = 20ms;
constexpr auto kCloseDeadline = 2min;
constexpr auto kGoneTime = 5s;

struct UmountOptions {
  std::string mountpoint;
  bool now = false;
};

Error in_use(const std::string& mountpoint) {
  return {Fault::answer, EBUSY,
          mountpoint + " is in use: close the files and shells in it (`fuser -vm " + mountpoint + "` lists them)"};
}

bool is_mounted(const std::string& mountpoint) {
  std::ifstream mounts("/proc/self/mounts");
  std::string escaped;
  for (const char c : mountpoint) escaped += c == ' ' ? std::string("\\040") : std::string(1, c);
  for (std::string line; std::getline(mounts, line);) {
    std::istringstream fields(line);
    std::string device;
    std::string path;
    fields >> device >> path;
    if (path == escaped) return true;
  }
  return false;
}

/// Whether the server can be waited for: not once it could not be reached for kGoneTime.
class Patience {
 public:
  bool lasts(const vault::Status& status) {
    if (status.link == "online") seen_ = steady_clock::now();
    return status.link != "refused" && steady_clock::now() - seen_ < kGoneTime;
  }

 private:
  steady_clock::time_point seen_ = steady_clock::now();
};

// kNotCommitted, with a sentence about what is owed, where the server does not take it.
Result<int> sync_first(const control::ControlClient& control, const std::string& mountpoint) {
  Result<void> synced;
  {
    UploadProgress progress;
    Patience patience;
    synced = control.sync(std::chrono::seconds(0), [&](const vault::Status& status) {
      progress.show(status);
      return patience.lasts(status);
    });
  }
  if (synced) return kDone;
  COFFER_TRY(const vault::Status status, control.status());
  std::string why = vault::to_sentence(status);
  if (synced.error().fault != Fault::stopped) why += "\n" + synced.error().what;
  std::cerr << "coffer: not unmounted, as not everything is committed. " << why << "\nTo unmount all the same, and "
            << "send the rest after the next mount: coffer umount --now " << mountpoint << "\n";
  return kNotCommitted;
}

// The process still closes the vault; what it could not send stays owed.
Result<int> wait_for_end(const vault::VaultFolder& folder, bool now) {
  const auto deadline = steady_clock::now() + kCloseDeadline;
  while (vault::holder_of(folder)) {
    if (steady_clock::now() > deadline) {
      return Error{Fault::stopped, ETIMEDOUT,
                   "unmounted, but the mount's process has not ended yet: see " + folder.log()};
    }
    std::this_thread::sleep_for(kPoll);  // Another process's lock: nothing tells when it goes.
  }
  const Result<vault::Status> status = vault::status_unmounted(folder);
  if (!status || status->all_committed()) return kDone;
  if (now) {
    std::cout << vault::to_sentence(*status) << "\n";
    return kDone;
  }
  std::cerr << "coffer: changes were made while it was unmounted; they are kept here and go on at the next mount\n";
  return kNotCommitted;
}

// No process of this home serves the mountpoint. What one that was killed left there answers ENOTCONN; anything else
// is somebody's live mount, and not ours to take away.
Result<int> clear_dead_mount(const std::string& mountpoint, const Result<vault::VaultFolder>& folder) {
  if (!is_mounted(mountpoint)) return Error{Fault::refused, EINVAL, "nothing is mounted at " + mountpoint};
  if (!ops::is_dead_mount(mountpoint)) {
    if (!folder) return folder.error();
    return Error{
        Fault::refused, EBUSY,
        "what is mounted at " + mountpoint + " is not a vault of this home: give the --home it was mounted from"};
  }
  COFFER_DO(ops::unmount(mountpoint, true));
  std::cout << "Cleared what a mount that is gone had left at " << mountpoint << ".\n";
  return kDone;
}

Result<int> umount(const UmountOptions& options, const CommandLine& line) {
  const std::string mountpoint = absolute(options.mountpoint);
  const Result<vault::VaultFolder> folder = line.folder(options.mountpoint);
  const std::optional<vault::Holder> holder = folder ? vault::holder_of(*folder) : std::nullopt;
  if (!holder || holder->mountpoint != mountpoint) return clear_dead_mount(mountpoint, folder);
  const control::ControlClient control(folder->control());
  if (!options.now) {
    COFFER_TRY(const int synced, sync_first(control, mountpoint));
    if (synced != kDone) return synced;
  }
  Result<void> unmounted = control.unmount(false);
  if (!unmounted && unmounted.error().fault == Fault::offline) unmounted = ops::unmount(mountpoint, false);
  const bool is_gone = !unmounted && unmounted.error().fault == Fault::answer && unmounted.error().code == EINVAL;
  if (!unmounted && !is_gone) return unmounted.error().code == EBUSY ? in_use(mountpoint) : unmounted.error();
  return wait_for_end(*folder, options.now);
}

}  // namespace

void add_umount(CLI::App& app, CommandLine& line) {
  CLI::App* const command = app.add_subcommand("umount", "Wait until everything is committed, then unmount");
  const auto options = std::make_shared<UmountOptions>();
  command->add_option("mountpoint", options->mountpoint, "Where the vault is mounted")->required();
  command->add_flag("--now", options->now, "Do not wait: what is owed goes on at the next mount");
  command->callback([options, &line] { line.action = [options, &line] { return umount(*options, line); }; });
}

}  // namespace coffer::cli
