// What a PackStore holds, and how its threads share it.
//
// A chunk goes through these states, and each step is one line in append(), flush() or remove():
//
//     absent → pending (record written, perhaps synced) → indexed (synced, row in the index)
//     pending or indexed → unreadable (told as absent, record untouched) → indexed again, or leaving once a copy came
//     pending or indexed → leaving (told as absent, record untouched) → absent (row gone, marked, space given back)
//
// Locks, in the order in which they are taken: write_mutex, table_mutex; sync_mutex, table_mutex; the index and the
// files have inner ones of their own. Only write_mutex is held while the disk works, and reads never take it.
#pragma once

#include <atomic>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "common/base/mutex.h"
#include "common/pack/index.h"
#include "common/pack/pack_files.h"
#include "common/pack/pack_store.h"

namespace coffer::pack {

/// The pack that is appended to.
struct CurrentPack {
  std::uint64_t number = 0;
  std::shared_ptr<os::File> file;
  std::uint64_t end = 0;  ///< Where the next record goes.
};

struct PackStore::State {
  State(os::Disk& its_disk, std::string its_folder, PackOptions given, std::unique_ptr<os::DiskLock> taken)
      : disk(its_disk), folder(std::move(its_folder)), options(given), folder_lock(std::move(taken)) {}

  os::Disk& disk;
  const std::string folder;
  const PackOptions options;
  const std::unique_ptr<os::DiskLock> folder_lock;
  std::unique_ptr<PackFiles> files;
  std::unique_ptr<Index> index;

  /// Orders append() and remove().
  Mutex write_mutex;
  CurrentPack writing GUARDED_BY(write_mutex);

  Mutex table_mutex;
  std::unordered_map<object::ChunkId, Location> pending GUARDED_BY(table_mutex);
  std::unordered_multimap<object::ChunkId, Location> leaving GUARDED_BY(table_mutex);
  std::uint64_t leaving_bytes GUARDED_BY(table_mutex) = 0;
  CurrentPack written GUARDED_BY(table_mutex);            ///< `writing`, as far as it is written whole.
  std::uint64_t synced_end GUARDED_BY(table_mutex) = 0;   ///< Of that pack.
  std::uint64_t indexed_end GUARDED_BY(table_mutex) = 0;  ///< Of that pack: what lies before it is not pending.
  bool folder_is_synced GUARDED_BY(table_mutex) = true;
  std::uint64_t changes GUARDED_BY(table_mutex) = 0;  ///< Counts append()s and remove()s that did something.
  std::map<std::uint64_t, std::uint64_t> live GUARDED_BY(table_mutex);  ///< Pack to number of its chunks.
  std::uint64_t chunk_count GUARDED_BY(table_mutex) = 0;
  std::uint64_t stored_bytes GUARDED_BY(table_mutex) = 0;
  /// Set once a pack could not be synced: the kernel may have dropped what it could not write, and will not say so
  /// again (fsync(2)). Nothing is accepted until the store is opened anew, which writes the unsynced part back.
  std::optional<Error> broken GUARDED_BY(table_mutex);

  /// One thread flushes for all that wait.
  Mutex sync_mutex;
  Condition sync_done;
  bool is_flushing GUARDED_BY(sync_mutex) = false;
  std::uint64_t synced_changes GUARDED_BY(sync_mutex) = 0;
  std::uint64_t indexed_changes GUARDED_BY(sync_mutex) = 0;

  /// Chunks that are absent because the disk could not read them, to their records; the index has the same. A record
  /// stays as it is, and keeps its pack, until a good copy was appended: the disk may be able to read it again.
  std::unordered_map<object::ChunkId, Location> unreadable GUARDED_BY(table_mutex);

  /// Grows before bytes in packs go away: who read while it grew looks the chunk up again.
  std::atomic<std::uint64_t> removal_round = 0;

  using ReadPart = std::function<Result<Bytes>(State&, const Location&)>;
  class PackCheck;

  Result<void> begin();
  Result<void> take_up_unreadable() REQUIRES(write_mutex, table_mutex);
  /// Where the chunk is, unless it is absent or leaving.
  Result<std::optional<Location>> locate(const object::ChunkId& id);
  bool is_leaving(const object::ChunkId& id, const Location& at);
  bool is_unreadable_chunk(const object::ChunkId& id);
  /// What `part` reads of the chunk, again where the chunk may have gone away while it was read.
  Result<Bytes> read_at(const object::ChunkId& id, const ReadPart& part);
  /// An Error once the store is broken.
  Result<void> check_working();
  enum class Rows {
    may_wait,  ///< Until there are enough for a transaction.
    now,       ///< The index has them afterwards, if it can be written.
  };
  Result<void> sync(Rows rows);
  /// After append() and remove(): keeps what waits for a flush small.
  Result<void> sync_if_much_waits(bool pack_was_closed);

  /// Makes sure that `writing` has room for a record; true if that closed a pack.
  Result<bool> make_room(std::uint64_t record_bytes) REQUIRES(write_mutex);
  Result<void> write_record(const object::ChunkId& id, ByteView bytes) REQUIRES(write_mutex);
  /// From now on it is told as absent; the next flush takes it out of the index and its pack.
  void leave(const object::ChunkId& id, const Location& at) REQUIRES(write_mutex);
  /// What was found where a chunk lies that could not be read whole.
  enum class Ruin {
    none,        ///< It can be read now, and is good.
    wrong,       ///< All that is left of it can be read, and is not the chunk.
    unreadable,  ///< The disk cannot read some of it.
    elsewhere,   ///< Something else lies there.
  };
  /// Keeps what can be read of a damaged record in the folder of those. Of a `wrong` one it mends the header, so that
  /// the record can be marked as removed.
  Result<Ruin> keep_aside(const object::ChunkId& id, const Location& at) REQUIRES(write_mutex);
  /// Takes the chunk out of the index alone.
  Result<void> forget(const object::ChunkId& id, const Location& at, Ruin why) REQUIRES(write_mutex);
  /// Of one that is absent because the disk could not read it: looks whether it can by now.
  Result<Soundness> examine_unreadable(const object::ChunkId& id);
  /// A good copy was appended: the record that the disk could not read goes with the next flush.
  void replace_unreadable(const object::ChunkId& id) REQUIRES(table_mutex);

 private:
  struct Snapshot;
  struct Flushed;
  Snapshot take_snapshot(Rows rows);
  Result<Flushed> flush(Rows rows);
  Result<void> sync_packs(const Snapshot& snapshot);
  Result<void> write_index(const Snapshot& snapshot);
  void settle(const Snapshot& snapshot);
  void forget_leaving(const std::vector<Entry>& removed);
  void give_space_back(const std::vector<Entry>& removed);
  Result<void> carry_out(const std::vector<Entry>& removed);
  std::vector<std::uint64_t> packs_without_chunks(const std::vector<Entry>& removed);
};

}  // namespace coffer::pack
