// What this client owes the server, path by path, and the way out for it where it cannot be sent: `coffer owed`.
//
//     list      what is owed, since when, and why it does not go
//     export    the owed files in plain, in a folder of this machine: from spool and staging, mounted or not
//     drop      gives up what is owed, after it was exported: the vault's tree is then fetched anew
//
// Who exported everything that is owed leaves a note of it in HOME/vaults/NAME/exported.json: the tree, and the Mark
// (fs/meta) up to which. Only with such a note of the very tree, or told that data may be lost, drop_owed() drops.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <stop_token>
#include <string>
#include <vector>

#include "common/base/result.h"
#include "fs/vault/home.h"

namespace coffer::meta {
class Tree;
}

namespace coffer::vault {

struct OwedEntry {
  std::string path;               ///< "/a/b" in the vault.
  std::vector<std::string> what;  ///< content, attributes, name, removal: which of these.
  std::uint64_t bytes = 0;        ///< Of content.
  std::int64_t since_ns = 0;
  std::string why;  ///< Why it is not on the server yet.
};

struct NotExported {
  std::string path;
  std::string what;
  bool is_only_here = true;  ///< Something of it would be lost with what is owed.
};

struct ExportReport {
  std::uint64_t files = 0, folders = 0, bytes = 0;
  std::vector<std::string> removed;  ///< Paths whose removal is owed: there is nothing to export.
  std::vector<NotExported> not_exported;

  bool is_complete() const;  ///< Nothing is only here any more.
};

using ExportProgress = std::function<void(std::uint64_t done, std::uint64_t of)>;

/// Entries of all that the tree owes, with the same `why`.
Result<std::vector<OwedEntry>> owed_entries(meta::Tree& tree, const std::string& why);

/// From the folder of a vault that no process has open. Fault::refused (EBUSY) where one has.
Result<std::vector<OwedEntry>> owed_unmounted(const VaultFolder& folder);

/// Gives up what is owed by a vault that no process has open: tree, spool and staging files are deleted, and the next
/// mount fetches the tree from the server. Fault::refused with EBUSY where a process has it open, and where not all of
/// it was exported, unless `even_if_lost`. False where nothing was owed: nothing is deleted then.
Result<bool> drop_owed(const VaultFolder& folder, bool even_if_lost);
/// The same, of a folder whose lock the caller holds.
Result<bool> drop_owed_of(const VaultFolder& folder, bool even_if_lost);

/// Notes that all that `tree` owed at its `mark` lies in `to`.
Result<void> note_export(const VaultFolder& folder, const std::string& tree, std::uint64_t mark, const std::string& to);
/// Takes an earlier note away; it does not come back after a power cut.
Result<void> forget_export(const VaultFolder& folder);

}  // namespace coffer::vault
