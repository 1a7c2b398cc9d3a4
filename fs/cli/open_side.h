// The vault of put, get and ls: through its mount where it has one, else opened by this process.
#pragma once

#include <chrono>
#include <memory>
#include <string>

#include "fs/cli/command.h"
#include "fs/cli/side.h"
#include "fs/vault/vault.h"

namespace coffer::cli {

class OpenSide {
 public:
  static Result<OpenSide> open(const CommandLine& line, const KeyOptions& key, bool read_only);

  Side& side() { return *side_; }
  /// A path of the vault ("/a/b", "a/b") as a path of side().
  std::string path(const std::string& in_vault) const;
  /// Waits until all is committed, with a progress bar. An Error says what is still owed.
  Result<void> sync();

 private:
  vault::VaultFolder folder_;
  std::string mountpoint_;  // Where it is mounted; else:
  std::unique_ptr<vault::Vault> vault_;
  std::unique_ptr<Side> side_;
};

}  // namespace coffer::cli
