#include "fs/cli/open_side.h"

#include <cerrno>
#include <filesystem>
#include <thread>
#include <utility>

#include "fs/cli/progress.h"
#include "fs/control/control_client.h"

namespace coffer::cli {

namespace {

using namespace std::chrono_literals;

constexpr auto kProgressInterval = 200ms;
constexpr auto kSyncDeadline = 24h * 365;

}  // namespace

Result<OpenSide> OpenSide::open(const CommandLine& line, const KeyOptions& key, bool read_only) {
  OpenSide open;
  COFFER_TRY(open.folder_, line.folder());
  if (const std::optional<vault::Holder> holder = vault::holder_of(open.folder_);
      holder && !holder->mountpoint.empty()) {
    open.mountpoint_ = holder->mountpoint;
    open.side_ = local_side(open.mountpoint_);
    return open;
  }
  COFFER_TRY(const vault::VaultSettings settings, vault::read_settings(open.folder_));
  vault::Options options;
  options.read_only = read_only;
  COFFER_TRY(open.vault_, vault::Vault::open(open.folder_, options, key.source(settings)));
  if (!read_only && open.vault_->is_read_only()) {
    const std::string holder = open.vault_->status().lease_holder;
    return Error{Fault::refused, EROFS,
                 holder.empty() ? "this client may not write to the vault: ask for a grant without --read-only"
                                : "client " + holder + " has the vault open for writing: unmount it there first"};
  }
  open.side_ = vault_side(open.vault_->file_system());
  return open;
}

std::string OpenSide::path(const std::string& in_vault) const {
  std::string plain = std::filesystem::path("/" + in_vault).lexically_normal().string();
  while (plain.starts_with("//")) plain.erase(0, 1);
  while (plain.size() > 1 && plain.back() == '/') plain.pop_back();
  if (mountpoint_.empty()) return plain;
  return plain == "/" ? mountpoint_ : mountpoint_ + plain;
}

Result<void> OpenSide::sync() {
  UploadProgress progress;
  if (!vault_) {
    return control::ControlClient(folder_.control()).sync(0s, [&](const vault::Status& status) {
      progress.show(status);
      return true;
    });
  }
  std::jthread watcher([&](const std::stop_token& stop) {
    while (!stop.stop_requested()) {
      progress.show(vault_->status());
      std::this_thread::sleep_for(kProgressInterval);  // For a person to look at.
    }
  });
  return vault_->sync(std::chrono::steady_clock::now() + kSyncDeadline);
}

}  // namespace coffer::cli
