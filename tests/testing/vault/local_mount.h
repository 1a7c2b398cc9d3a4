// A LocalVault behind a real mount, served by threads of the test itself.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <thread>

#include "fs/ops/mount.h"
#include "tests/testing/temp_dir.h"
#include "tests/testing/vault/local_vault.h"

namespace coffer::testing {

/// Mounted from construction to destruction, on a mountpoint of its own.
class LocalMount {
 public:
  explicit LocalMount(const std::string& vault_folder, files::FileSystemOptions options = {});
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
