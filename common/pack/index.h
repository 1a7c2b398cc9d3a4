// Which chunk lies where: index.db beside the packs. PACKS.md has its tables.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "common/base/mutex.h"
#include "common/base/result.h"
#include "common/db/database.h"
#include "common/object/ids.h"
#include "common/os/disk.h"

namespace coffer::pack {

/// One record of one pack.
struct Location {
  std::uint64_t pack = 0;
  std::uint64_t offset = 0;  ///< Of the record's header.
  std::uint32_t bytes = 0;   ///< Of the payload.
  friend bool operator==(const Location&, const Location&) = default;
};

struct Entry {
  object::ChunkId id;
  Location at;
};

struct PackTotals {
  std::uint64_t chunks = 0;
  std::uint64_t bytes = 0;
};

/// What one transaction does.
struct IndexChange {
  std::vector<Entry> added;
  std::vector<Entry> removed;          ///< Their rows go, and become removals to be carried out.
  std::vector<Entry> unreadable = {};  ///< Records that the disk cannot read: they have no row among the chunks.
  /// Pack to offset: all records before it are synced and have their rows. Of a pack without records its header's end.
  std::map<std::uint64_t, std::uint64_t> scanned;
};

/// find(), rows(), all_rows() and scanned() are thread-safe and wait for no fsync: they have a connection of their own.
/// apply(), set_unreadable(), set_readable(), forget_row() and finish_removals() are thread-safe and wait for each
/// other. All else is for one thread, before others use the index. Fault::corrupt means that the index is damaged and
/// wants to be made anew.
class Index {
 public:
  static Result<std::unique_ptr<Index>> open(os::Disk& disk, const std::string& folder);
  /// The file's names in the folder, to be deleted before it is made anew.
  static std::vector<std::string> file_names();

  Result<std::optional<Location>> find(const object::ChunkId& id);
  /// At most `count_max` rows from (pack, offset) on, ascending.
  Result<std::vector<Entry>> rows(std::uint64_t pack, std::uint64_t offset, std::size_t count_max);
  /// The same, and those among them that the disk could not read.
  Result<std::vector<Entry>> all_rows(std::uint64_t pack, std::uint64_t offset, std::size_t count_max);

  /// One transaction; on stable storage when it returns if anything is removed.
  Result<void> apply(const IndexChange& change);
  /// Forgets rows of `pack` at and beyond `offset`, and lowers what was scanned to it.
  Result<void> forget_from(std::uint64_t pack, std::uint64_t offset);
  Result<void> forget_pack(std::uint64_t pack);
  /// The chunk's row goes to those that the disk could not read, and back.
  Result<void> set_unreadable(const Entry& entry);
  Result<void> set_readable(const Entry& entry);
  Result<std::vector<Entry>> unreadable();
  /// As apply(), of one row whose record is not where it says.
  Result<void> forget_row(std::uint64_t pack, std::uint64_t offset);
  /// Removals that were decided on, and perhaps not carried out.
  Result<std::vector<Location>> removals();
  Result<void> finish_removals(const std::vector<Location>& done, const std::vector<std::uint64_t>& deleted_packs);

  /// Reads each page once: Fault::corrupt where one is damaged.
  Result<void> read_all();
  Result<std::map<std::uint64_t, std::uint64_t>> scanned();
  Result<std::map<std::uint64_t, PackTotals>> totals();

 private:
  Index(db::Database writer, db::Database reader) : writer_(std::move(writer)), reader_(std::move(reader)) {}
  Result<void> prepare();
  Result<void> write_rows(const IndexChange& change);
  Result<void> move(const Entry& entry, db::Statement& from, db::Statement& to);
  static Result<std::vector<Entry>> entries_of(db::Statement& rows);

  Mutex writing_mutex_;  ///< Nothing else is locked under it.
  db::Database writer_;
  std::optional<db::Statement> insert_;
  std::optional<db::Statement> delete_;
  std::optional<db::Statement> insert_removal_;
  std::optional<db::Statement> set_scanned_;
  std::optional<db::Statement> insert_unreadable_;
  std::optional<db::Statement> delete_unreadable_;

  Mutex reader_mutex_;
  db::Database reader_;
  std::optional<db::Statement> find_ GUARDED_BY(reader_mutex_);
  std::optional<db::Statement> rows_ GUARDED_BY(reader_mutex_);
  std::optional<db::Statement> all_rows_ GUARDED_BY(reader_mutex_);
};

}  // namespace coffer::pack
