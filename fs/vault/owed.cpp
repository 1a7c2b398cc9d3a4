#include "fs/vault/owed.h"

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <utility>

#include "common/os/clock.h"
#include "common/os/disk.h"
#include "fs/meta/tree.h"
#include "fs/vault/parts.h"

namespace coffer::vault {

namespace {

class NobodyListens : public meta::TreeEvents {
 public:
  void chunk_dropped(const ChunkRow&) override {}  // The next Spool::open() finds it.
};

/// The Mark of the last export that was complete; 0 where there is none.
std::uint64_t exported_mark(const VaultFolder& folder) {
  std::ifstream file(folder.exported());
  const nlohmann::json note = nlohmann::json::parse(file, nullptr, false);
  if (!note.is_object() || !note.contains("mark") || !note["mark"].is_number_unsigned()) return 0;
  return note["mark"].get<std::uint64_t>();
}

}  // namespace

bool ExportReport::is_complete() const {
  return std::ranges::none_of(not_exported, [](const NotExported& one) { return one.is_only_here; });
}

Result<std::vector<OwedEntry>> owed_entries(meta::Tree& tree, const std::string& why) {
  COFFER_TRY(const std::vector<meta::OwedPath> paths, tree.owed_paths());
  std::vector<OwedEntry> entries;
  for (const meta::OwedPath& path : paths) {
    OwedEntry& entry = entries.emplace_back();
    entry.path = path.path;
    if (path.content) entry.what.emplace_back("content");
    if (path.attributes) entry.what.emplace_back("attributes");
    if (path.name) entry.what.emplace_back(path.removed ? "removal" : "name");
    entry.bytes = path.bytes;
    entry.since_ns = path.since_ns;
    entry.why = why;
  }
  return entries;
}

Result<std::vector<OwedEntry>> owed_unmounted(const VaultFolder& folder) {
  COFFER_TRY(const FolderLock lock, FolderLock::take(folder, ""));
  if (!std::filesystem::exists(folder.tree())) return std::vector<OwedEntry>();
  NobodyListens events;
  COFFER_TRY(const std::unique_ptr<meta::Tree> tree, meta::Tree::open(folder.tree(), os::real_clock(), events));
  return owed_entries(*tree, "the vault is not mounted");
}

Result<bool> drop_owed(const VaultFolder& folder, bool even_if_lost) {
  {
    COFFER_TRY(const FolderLock lock, FolderLock::take(folder, ""));
    if (!std::filesystem::exists(folder.tree())) return false;
    NobodyListens events;
    COFFER_TRY(const std::unique_ptr<meta::Tree> tree, meta::Tree::open(folder.tree(), os::real_clock(), events));
    COFFER_TRY(const meta::Owed owed, tree->owed());
    if (owed.nothing() && owed.chunks == 0) return false;
    // What was changed after the export has a higher Mark.
    if (!even_if_lost && tree->mark().value() > exported_mark(folder)) {
      return Error{Fault::refused, EBUSY,
                   "not everything that is owed was exported: run `coffer owed export DIR` first (or add "
                   "--lose-unexported: what `coffer owed list` shows is then lost)"};
    }
  }
  COFFER_DO(clear_unmounted(folder, true, true));
  COFFER_DO(note_export(folder, 0, "", false));
  return true;
}

Result<void> note_export(const VaultFolder& folder, std::uint64_t mark, const std::string& to, bool is_complete) {
  std::error_code failure;
  std::filesystem::remove(folder.exported(), failure);
  if (failure) return os_error(failure.value(), "remove " + folder.exported());
  if (!is_complete) return {};
  const nlohmann::ordered_json note{{"mark", mark}, {"to", to}};
  std::ofstream file(folder.exported());
  file << note.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace) << "\n";
  file.close();
  if (!file) return Error{Fault::local_io, EIO, "the note of the export cannot be written to " + folder.exported()};
  return {};
}

}  // namespace coffer::vault
