// A vault that no process has open, seen from its folder alone.
#include "common/os/clock.h"
#include "common/os/paths.h"
#include "fs/meta/load.h"
#include "fs/vault/owed.h"
#include "fs/vault/parts.h"

namespace coffer::vault {

namespace {

class NobodyListens : public meta::TreeEvents {
 public:
  void chunk_dropped(const ChunkRow&) override {}  // The next Spool::open() finds it.
};

}  // namespace

Result<Status> status_unmounted(const VaultFolder& folder) {
  COFFER_TRY(const VaultSettings settings, read_settings(folder));
  COFFER_TRY(const FolderLock lock, FolderLock::take(folder, ""));
  if (!os::is_there(*folder.disk, folder.tree())) {
    Status status;
    status.vault = settings.name;
    status.server = settings.server.host + ":" + std::to_string(settings.server.port);
    status.link = "unmounted";
    status.lease = "none";
    return status;
  }
  NobodyListens events;
  COFFER_TRY(const std::unique_ptr<meta::Tree> tree,
             meta::Tree::open(folder.tree(), os::real_clock(), events, *folder.disk));
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
  return clear_if_allowed(folder, and_tree, discard_owed);
}

// Where nothing is owed, all that the tree on the disk may still owe is on the server: each commit was synced here
// before it was sent, and the last one has its receipt. So the tree need not be synced before its chunks go.
Result<void> clear_if_allowed(const VaultFolder& folder, bool and_tree, bool discard_owed) {
  if (!discard_owed && os::is_there(*folder.disk, folder.tree())) {
    NobodyListens events;
    COFFER_TRY(const std::unique_ptr<meta::Tree> tree,
               meta::Tree::open(folder.tree(), os::real_clock(), events, *folder.disk));
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
  os::Disk& disk = *folder.disk;
  if (and_tree) {
    COFFER_DO(forget_export(folder));
    if (os::is_there(disk, folder.tree())) COFFER_DO(disk.rename(folder.tree(), folder.cleared_tree()));
    COFFER_DO(disk.sync_folder(folder.path));
    COFFER_DO(meta::remove_load(folder.tree(), disk));
    for (const char* end : {"-wal", "-shm", "-redo"}) COFFER_DO(os::remove_all(disk, folder.tree() + end));
  }
  COFFER_DO(os::remove_all(disk, folder.cleared_tree()));  // Also one that an earlier clear left behind.
  COFFER_DO(os::remove_all(disk, folder.spool()));
  COFFER_DO(os::remove_all(disk, folder.staging()));
  return disk.sync_folder(folder.path);
}

}  // namespace coffer::vault
