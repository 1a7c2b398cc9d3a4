// A LocalVault behind a real mount, served by threads of the test itself.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "fs/ops/mount.h"
#include "tests/testing/temp_dir.h"
#include "tests/testing/vault/local_vault.h"

namespace coffer::testing {

struct LocalMountOptions {
  std::vector<std::string> fuse{};  ///< As ops::MountOptions::options.
  files::FileSystemOptions files{};
  ops::Shown shown{};
};

/// Mounted from construction to destruction, on a mountpoint of its own.
class LocalMount {
 public:
  explicit LocalMount(const std::string& vault_folder, const files::FileSystemOptions& options = {})
      : LocalMount(vault_folder, LocalMountOptions{.fuse = {}, .files = options, .shown = {}}) {}
  LocalMount(const std::string& vault_folder, const LocalMountOptions& options);
  ~LocalMount();
  LocalMount(const LocalMount&) = delete;
  LocalMount& operator=(const LocalMount&) = delete;

  std::string path() const { return mountpoint_.path().string(); }
  std::string operator/(const std::string& name) const { return path() + "/" + name; }
  LocalVault& vault() { return vault_; }
  ops::Mount& mount() { return *mount_; }

 private:
  TempDir mountpoint_;
  LocalVault vault_;
  std::unique_ptr<ops::Mount> mount_;
  std::thread server_;
};

}  // namespace coffer::testing
