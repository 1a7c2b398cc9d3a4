// Group commit: how what was appended and removed gets to stable storage and into the index.
#include <algorithm>
#include <cerrno>
#include <utility>

#include "common/base/log.h"
#include "common/pack/record.h"
#include "common/pack/recovery.h"
#include "common/pack/store_state.h"

namespace coffer::pack {
namespace {

/// Chunks whose place is only in memory: about 100 bytes each, and all are read again after a kill -9.
constexpr std::size_t kPendingCountMax = 4096;
constexpr std::size_t kLeavingCountMax = 4096;
/// Disk space that removed chunks still take.
constexpr std::uint64_t kLeavingBytesMax = 64u << 20;
/// Rows wait for one transaction until there are so many, or they are of so many bytes of the pack: what open() then
/// reads again after a kill -9 takes it some 20 ms. A transaction for each chunk that somebody waits for costs as much
/// as the sync of the pack.
constexpr std::size_t kWaitingRowsMax = 256;
constexpr std::uint64_t kWaitingRowsBytesMax = 16u << 20;

}  // namespace

/// What one flush takes along.
struct PackStore::State::Snapshot {
  std::uint64_t changes = 0;
  CurrentPack written;
  bool must_sync_pack = false;
  bool must_sync_folder = false;
  bool must_write_rows = false;
  IndexChange change;  ///< Empty unless its rows must be written.
};

/// Up to which change a flush has come.
struct PackStore::State::Flushed {
  std::uint64_t synced = 0;
  std::optional<std::uint64_t> indexed;  ///< None where rows wait.
};

Result<void> PackStore::State::sync(Rows rows) {
  std::uint64_t wanted = 0;
  {
    const MutexLock lock(table_mutex);
    wanted = changes;
  }
  {
    const MutexLock lock(sync_mutex);
    const std::uint64_t& done = rows == Rows::now ? indexed_changes : synced_changes;
    while (is_flushing && done < wanted) sync_done.wait(sync_mutex);
    if (done >= wanted) return {};
    is_flushing = true;
  }
  Result<Flushed> flushed = flush(rows);
  {
    const MutexLock lock(sync_mutex);
    is_flushing = false;
    if (flushed) synced_changes = flushed->synced;
    if (flushed && flushed->indexed) indexed_changes = *flushed->indexed;
    sync_done.notify_all();
  }
  if (!flushed) return std::move(flushed).error();
  return {};
}

Result<void> PackStore::State::sync_if_much_waits(bool pack_was_closed) {
  bool much = pack_was_closed;
  {
    const MutexLock lock(table_mutex);
    much |= pending.size() > kPendingCountMax || leaving.size() > kLeavingCountMax || leaving_bytes > kLeavingBytesMax;
  }
  return much ? sync(pack_was_closed ? Rows::now : Rows::may_wait) : Result<void>();
}

PackStore::State::Snapshot PackStore::State::take_snapshot(Rows rows) {
  const MutexLock lock(table_mutex);
  Snapshot snapshot{.changes = changes,
                    .written = written,
                    .must_sync_pack = written.file != nullptr && written.end > synced_end,
                    .must_sync_folder = !folder_is_synced,
                    .must_write_rows = rows == Rows::now || !leaving.empty() || pending.size() >= kWaitingRowsMax ||
                                       written.end - indexed_end >= kWaitingRowsBytesMax,
                    .change = {}};
  if (!snapshot.must_write_rows) return snapshot;
  for (const auto& [id, at] : pending) {
    snapshot.change.added.push_back({.id = id, .at = at});
    std::uint64_t& scanned = snapshot.change.scanned[at.pack];
    scanned = std::max(scanned, at.offset + kRecordHeaderBytes + at.bytes);
  }
  for (const auto& [id, at] : leaving) snapshot.change.removed.push_back({.id = id, .at = at});
  return snapshot;
}

Result<PackStore::State::Flushed> PackStore::State::flush(Rows rows) {
  COFFER_DO(check_working());
  const Snapshot snapshot = take_snapshot(rows);
  COFFER_DO(sync_packs(snapshot));
  Flushed done{.synced = snapshot.changes, .indexed = std::nullopt};
  if (!snapshot.must_write_rows) return done;
  if (Result<void> indexed = write_index(snapshot); !indexed) {
    // The packs have what was appended, and that is what was promised; the rows wait for the next flush.
    log::warn("pack.index_write", {{"why", indexed.error().what}});
    if (!snapshot.change.removed.empty()) return std::move(indexed).error();
    return done;
  }
  settle(snapshot);
  if (!snapshot.change.removed.empty()) {
    give_space_back(snapshot.change.removed);
    forget_leaving(snapshot.change.removed);
  }
  done.indexed = snapshot.changes;
  return done;
}

Result<void> PackStore::State::sync_packs(const Snapshot& snapshot) {
  Result<void> synced;
  if (snapshot.must_sync_pack) synced = snapshot.written.file->sync();
  if (synced && snapshot.must_sync_folder) synced = files->sync_folder();
  const MutexLock lock(table_mutex);
  if (!synced) {
    broken = synced.error();
    return synced;
  }
  if (snapshot.written.number == written.number) {
    synced_end = std::max(synced_end, snapshot.written.end);
    folder_is_synced = folder_is_synced || snapshot.must_sync_folder;
  }
  return {};
}

Result<void> PackStore::State::write_index(const Snapshot& snapshot) {
  if (snapshot.change.added.empty() && snapshot.change.removed.empty()) return {};
  return index->apply(snapshot.change);
}

/// The index has it: memory can let go.
void PackStore::State::settle(const Snapshot& snapshot) {
  const MutexLock lock(table_mutex);
  for (const Entry& entry : snapshot.change.added) {
    const auto found = pending.find(entry.id);
    if (found != pending.end() && found->second == entry.at) pending.erase(found);
  }
  if (snapshot.written.number == written.number) indexed_end = snapshot.written.end;
}

/// Only once their records are marked: until then a check() must know why the index lacks them.
void PackStore::State::forget_leaving(const std::vector<Entry>& removed) {
  const MutexLock lock(table_mutex);
  for (const Entry& entry : removed) {
    const auto [first, last] = leaving.equal_range(entry.id);
    for (auto it = first; it != last; ++it) {
      if (it->second != entry.at) continue;
      leaving.erase(it);
      leaving_bytes -= entry.at.bytes;
      break;
    }
  }
}

/// From here on a crash changes nothing for anyone: the index on stable storage has the removals, and the next open()
/// carries them out.
void PackStore::State::give_space_back(const std::vector<Entry>& removed) {
  Result<void> done = carry_out(removed);
  if (done) return;
  log::error("pack.removal", {{"why", done.error().what}});
  const MutexLock lock(table_mutex);
  broken = std::move(done).error();
}

Result<void> PackStore::State::carry_out(const std::vector<Entry>& removed) {
  removal_round.fetch_add(1);
  const std::vector<std::uint64_t> empty = packs_without_chunks(removed);
  for (const std::uint64_t pack : empty) {
    Result<void> deleted = files->remove(pack);
    if (!deleted && deleted.error().code != ENOENT) return deleted;  // Else it was lost, and its chunks set aside.
  }
  if (!empty.empty()) COFFER_DO(files->sync_folder());
  std::vector<Location> done;
  for (const Entry& entry : removed) done.push_back(entry.at);
  COFFER_DO(carry_out_removals(*files, done));
  // If that fails they are carried out once more at the next open(), which changes nothing.
  if (Result<void> finished = index->finish_removals(done, empty); !finished)
    log::warn("pack.index_write", {{"why", finished.error().what}});
  return {};
}

std::vector<std::uint64_t> PackStore::State::packs_without_chunks(const std::vector<Entry>& removed) {
  std::vector<std::uint64_t> empty;
  const MutexLock lock(table_mutex);
  for (const Entry& entry : removed) {
    const auto found = live.find(entry.at.pack);
    if (found == live.end() || found->second > 0 || entry.at.pack == written.number) continue;
    empty.push_back(entry.at.pack);
    live.erase(found);
  }
  return empty;
}

}  // namespace coffer::pack
