// A vault that no process has open, seen from its folder alone.
#include <filesystem>

#include "common/os/clock.h"
#include "common/os/disk.h"
#include "fs/vault/owed.h"
#include "fs/vault/parts.h"

namespace coffer::vault {

namespace {

class NobodyListens : public meta::TreeEvents {
 public:
  void chunk_dropped(const ChunkRow&) override {}  // The next Spool::open() finds it.
};

Result<void> remove_all(const std::string& path) {
  std::error_code failure;
  std::filesystem::remove_all(path, failure);
  if (failure) return os_error(failure.value(), "remove " + path);
  return {};
}

}  // namespace

Result<Status> status_unmounted(const VaultFolder& folder) {
  COFFER_TRY(const VaultSettings settings, read_settings(folder));
  COFFER_TRY(const FolderLock lock, FolderLock::take(folder, ""));
  if (!std::filesystem::exists(folder.tree())) {
    Status status;
    status.vault = settings.name;
    status.server = settings.server.host + ":" + std::to_string(settings.server.port);
    status.link = "unmounted";
    status.lease = "none";
    return status;
  }
  NobodyListens events;
  COFFER_TRY(const std::unique_ptr<meta::Tree> tree, meta::Tree::open(folder.tree(), os::real_clock(), events));
  Status status = status_of_tree(settings, *tree);
  status.folder = folder.path;
  // The tree learns the size of a chunk that is being batched when it is sealed.
  COFFER_TRY(const std::vector<ChunkRow> open, tree->open_chunks());
  for (const ChunkRow& chunk : open) {
    const Result<std::uint64_t> bytes = spool::staged_bytes(os::real_disk(), folder.staging(), chunk.key);
    if (bytes && status.owed_chunks > 0) status.owed_bytes += *bytes;
  }
  return status;
}

Result<void> clear_unmounted(const VaultFolder& folder, bool and_tree, bool discard_owed) {
  COFFER_TRY(const FolderLock lock, FolderLock::take(folder, ""));
  if (!discard_owed && std::filesystem::exists(folder.tree())) {
    NobodyListens events;
    COFFER_TRY(const std::unique_ptr<meta::Tree> tree, meta::Tree::open(folder.tree(), os::real_clock(), events));
    COFFER_TRY(const meta::Owed owed, tree->owed());
    if (!owed.nothing() || owed.chunks > 0) {
      return Error{Fault::refused, EBUSY,
                   "what is here is not all on the server yet: mount the vault and run `coffer sync` first"};
    }
  }
  return clear_folder(folder, and_tree);
}

// What a note of an export says of this tree must not be taken for the next one's. The tree goes before what it names
// in spool and staging, and its name first: SQLite and the redo log pass over what is left beside a new file.
Result<void> clear_folder(const VaultFolder& folder, bool and_tree) {
  if (and_tree) {
    COFFER_DO(forget_export(folder));
    if (std::filesystem::exists(folder.tree())) {
      COFFER_DO(os::real_disk().rename(folder.tree(), folder.cleared_tree()));
    }
    COFFER_DO(os::real_disk().sync_folder(folder.path));
    for (const char* end : {"-wal", "-shm", "-redo"}) COFFER_DO(remove_all(folder.tree() + end));
  }
  COFFER_DO(remove_all(folder.cleared_tree()));  // Also one that an earlier clear left behind.
  COFFER_DO(remove_all(folder.spool()));
  COFFER_DO(remove_all(folder.staging()));
  return os::real_disk().sync_folder(folder.path);
}

}  // namespace coffer::vault
