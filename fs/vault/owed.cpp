#include "fs/vault/owed.h"

#include <algorithm>
#include <cerrno>
#include <nlohmann/json.hpp>
#include <utility>

#include "common/os/clock.h"
#include "common/os/paths.h"
#include "fs/meta/tree.h"
#include "fs/vault/parts.h"

namespace coffer::vault {

namespace {

class NobodyListens : public meta::TreeEvents {
 public:
  void chunk_dropped(const ChunkRow&) override {}  // The next Spool::open() finds it.
};

constexpr std::size_t kNoteBytesMax = 64u << 10;

/// The last export that was complete covers all that the tree owes now: what was changed after it has a higher Mark.
Result<bool> is_exported(const VaultFolder& folder, meta::Tree& tree) {
  const Result<Bytes> file = os::read_file(*folder.disk, folder.exported(), kNoteBytesMax);
  if (!file) return false;
  const nlohmann::json note = nlohmann::json::parse(as_text(*file), nullptr, false);
  if (!note.is_object() || !note.contains("mark") || !note["mark"].is_number_unsigned()) return false;
  COFFER_TRY(const std::string id, tree.id());
  return note.contains("tree") && note["tree"] == id && tree.mark().value() <= note["mark"].get<std::uint64_t>();
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
  if (!os::is_there(*folder.disk, folder.tree())) return std::vector<OwedEntry>();
  NobodyListens events;
  COFFER_TRY(const std::unique_ptr<meta::Tree> tree,
             meta::Tree::open(folder.tree(), os::real_clock(), events, *folder.disk));
  return owed_entries(*tree, "the vault is not mounted");
}

Result<bool> drop_owed(const VaultFolder& folder, bool even_if_lost) {
  COFFER_TRY(const FolderLock lock, FolderLock::take(folder, ""));  // Until all is gone: a mount could owe more.
  return drop_owed_of(folder, even_if_lost);
}

Result<bool> drop_owed_of(const VaultFolder& folder, bool even_if_lost) {
  if (!os::is_there(*folder.disk, folder.tree())) return false;
  {
    NobodyListens events;
    COFFER_TRY(const std::unique_ptr<meta::Tree> tree,
               meta::Tree::open(folder.tree(), os::real_clock(), events, *folder.disk));
    COFFER_TRY(const meta::Owed owed, tree->owed());
    if (owed.nothing() && owed.chunks == 0) return false;
    COFFER_TRY(const bool is_safe, is_exported(folder, *tree));
    if (!is_safe && !even_if_lost) {
      return Error{Fault::refused, EBUSY,
                   "not everything that is owed was exported: run `coffer owed export DIR` first (or add "
                   "--lose-unexported: what `coffer owed list` shows is then lost)"};
    }
  }
  COFFER_DO(clear_folder(folder, true));
  return true;
}

Result<void> note_export(const VaultFolder& folder, const std::string& tree, std::uint64_t mark,
                         const std::string& to) {
  const nlohmann::ordered_json note{{"tree", tree}, {"mark", mark}, {"to", to}};
  const std::string text = note.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace) + "\n";
  Result<void> written = os::replace_file(*folder.disk, folder.exported(), as_bytes(text));
  if (!written) return std::move(written).error().in("the note of the export");
  return {};
}

Result<void> forget_export(const VaultFolder& folder) {
  if (!os::is_there(*folder.disk, folder.exported())) return {};
  COFFER_DO(folder.disk->remove(folder.exported()));
  return folder.disk->sync_folder(folder.path);
}

}  // namespace coffer::vault
