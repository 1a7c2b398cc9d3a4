#include "common/pack/index.h"

namespace coffer::pack {
namespace {

constexpr const char* kSchema = R"sql(
CREATE TABLE chunks (
  pack   INTEGER NOT NULL,
  offset INTEGER NOT NULL,
  bytes  INTEGER NOT NULL,
  id     BLOB NOT NULL,
  PRIMARY KEY (pack, offset)
) WITHOUT ROWID;
CREATE INDEX chunks_by_id ON chunks (id, bytes);
CREATE TABLE packs (
  number  INTEGER PRIMARY KEY,
  scanned INTEGER NOT NULL
);
CREATE TABLE removals (
  pack   INTEGER NOT NULL,
  offset INTEGER NOT NULL,
  bytes  INTEGER NOT NULL,
  PRIMARY KEY (pack, offset)
) WITHOUT ROWID;
)sql";

// Records that the disk cannot read: PACKS.md, "Damage".
constexpr const char* kUnreadable = R"sql(
CREATE TABLE unreadable (
  pack   INTEGER NOT NULL,
  offset INTEGER NOT NULL,
  bytes  INTEGER NOT NULL,
  id     BLOB NOT NULL,
  PRIMARY KEY (pack, offset)
) WITHOUT ROWID;
)sql";

std::int64_t as_signed(std::uint64_t value) { return static_cast<std::int64_t>(value); }
std::uint64_t unsigned_column(const db::Statement& row, int column) {
  return static_cast<std::uint64_t>(row.integer(column));
}

/// Columns pack, offset, bytes, beginning at `first`.
Location location(const db::Statement& row, int first) {
  return {.pack = unsigned_column(row, first),
          .offset = unsigned_column(row, first + 1),
          .bytes = static_cast<std::uint32_t>(row.integer(first + 2))};
}

db::Statement& bind(db::Statement& statement, const Location& at) {
  return statement.bind(1, as_signed(at.pack)).bind(2, as_signed(at.offset)).bind(3, std::int64_t{at.bytes});
}

}  // namespace

std::vector<std::string> Index::file_names() { return {"index.db", "index.db-wal", "index.db-shm"}; }

Result<std::unique_ptr<Index>> Index::open(os::Disk& disk, const std::string& folder) {
  const std::string path = folder + "/index.db";
  // `normal`: after a power cut it is consistent, if behind; what is behind is found again in the packs.
  COFFER_TRY(db::Database writer, db::Database::open(path, {.sync = db::Sync::normal, .disk = &disk}));
  COFFER_DO(writer.migrate({kSchema, kUnreadable}));
  COFFER_TRY(db::Database reader, db::Database::open(path, {.read_only = true, .disk = &disk}));
  std::unique_ptr<Index> index(new Index(std::move(writer), std::move(reader)));
  COFFER_DO(index->prepare());
  return index;
}

Result<void> Index::prepare() {
  const MutexLock lock(reader_mutex_);
  COFFER_TRY(insert_, writer_.prepare("INSERT OR REPLACE INTO chunks (pack, offset, bytes, id) VALUES (?, ?, ?, ?)"));
  COFFER_TRY(delete_, writer_.prepare("DELETE FROM chunks WHERE pack = ? AND offset = ?"));
  COFFER_TRY(insert_removal_,
             writer_.prepare("INSERT OR REPLACE INTO removals (pack, offset, bytes) VALUES (?, ?, ?)"));
  COFFER_TRY(set_scanned_, writer_.prepare("INSERT OR REPLACE INTO packs (number, scanned) VALUES (?, ?)"));
  COFFER_TRY(insert_unreadable_,
             writer_.prepare("INSERT OR REPLACE INTO unreadable (pack, offset, bytes, id) VALUES (?, ?, ?, ?)"));
  COFFER_TRY(delete_unreadable_, writer_.prepare("DELETE FROM unreadable WHERE pack = ? AND offset = ?"));
  COFFER_TRY(find_, reader_.prepare("SELECT pack, offset, bytes FROM chunks WHERE id = ?"));
  COFFER_TRY(rows_, reader_.prepare("SELECT pack, offset, bytes, id FROM chunks WHERE (pack, offset) >= (?, ?) "
                                    "ORDER BY pack, offset LIMIT ?"));
  COFFER_TRY(all_rows_, reader_.prepare("SELECT pack, offset, bytes, id FROM chunks WHERE (pack, offset) >= (?1, ?2) "
                                        "UNION ALL SELECT pack, offset, bytes, id FROM unreadable "
                                        "WHERE (pack, offset) >= (?1, ?2) ORDER BY pack, offset LIMIT ?3"));
  return {};
}

Result<std::optional<Location>> Index::find(const object::ChunkId& id) {
  const MutexLock lock(reader_mutex_);
  COFFER_TRY(const bool found, find_->bind(1, id.bytes()).step());
  if (!found) return std::optional<Location>();
  const Location at = location(*find_, 0);
  find_->reset();  // Ends the read transaction: the next call sees what was committed meanwhile.
  return std::optional<Location>(at);
}

Result<std::vector<Entry>> Index::entries_of(db::Statement& rows) {
  std::vector<Entry> entries;
  for (;;) {
    COFFER_TRY(const bool found, rows.step());
    if (!found) return entries;
    Result<object::ChunkId> id = object::ChunkId::from(rows.blob(3));
    if (!id) {
      rows.reset();
      return std::move(id).error();
    }
    entries.push_back({.id = *id, .at = location(rows, 0)});
  }
}

Result<std::vector<Entry>> Index::rows(std::uint64_t pack, std::uint64_t offset, std::size_t count_max) {
  const MutexLock lock(reader_mutex_);
  rows_->bind(1, as_signed(pack)).bind(2, as_signed(offset)).bind(3, as_signed(count_max));
  return entries_of(*rows_);
}

Result<std::vector<Entry>> Index::all_rows(std::uint64_t pack, std::uint64_t offset, std::size_t count_max) {
  const MutexLock lock(reader_mutex_);
  all_rows_->bind(1, as_signed(pack)).bind(2, as_signed(offset)).bind(3, as_signed(count_max));
  return entries_of(*all_rows_);
}

Result<void> Index::apply(const IndexChange& change) {
  const MutexLock lock(writing_mutex_);
  if (change.removed.empty()) return write_rows(change);
  // A removal must not be undone by a power cut once the chunk's bytes are gone: PACKS.md, "Removal".
  COFFER_DO(writer_.execute("PRAGMA synchronous=FULL"));
  Result<void> written = write_rows(change);
  COFFER_DO(writer_.execute("PRAGMA synchronous=NORMAL"));
  return written;
}

Result<void> Index::write_rows(const IndexChange& change) {
  COFFER_TRY(db::Transaction transaction, db::Transaction::begin(writer_));
  for (const Entry& entry : change.removed) {
    COFFER_DO(delete_->bind(1, as_signed(entry.at.pack)).bind(2, as_signed(entry.at.offset)).run());
    COFFER_DO(delete_unreadable_->bind(1, as_signed(entry.at.pack)).bind(2, as_signed(entry.at.offset)).run());
    COFFER_DO(bind(*insert_removal_, entry.at).run());
  }
  for (const Entry& entry : change.added) COFFER_DO(bind(*insert_, entry.at).bind(4, entry.id.bytes()).run());
  for (const Entry& entry : change.unreadable) {
    COFFER_DO(bind(*insert_unreadable_, entry.at).bind(4, entry.id.bytes()).run());
  }
  for (const auto& [pack, offset] : change.scanned) {
    COFFER_DO(set_scanned_->bind(1, as_signed(pack)).bind(2, as_signed(offset)).run());
  }
  return transaction.commit();
}

Result<void> Index::forget_from(std::uint64_t pack, std::uint64_t offset) {
  COFFER_TRY(db::Transaction transaction, db::Transaction::begin(writer_));
  COFFER_TRY(db::Statement rows, writer_.prepare("DELETE FROM chunks WHERE pack = ? AND offset >= ?"));
  COFFER_DO(rows.bind(1, as_signed(pack)).bind(2, as_signed(offset)).run());
  COFFER_TRY(db::Statement unread, writer_.prepare("DELETE FROM unreadable WHERE pack = ? AND offset >= ?"));
  COFFER_DO(unread.bind(1, as_signed(pack)).bind(2, as_signed(offset)).run());
  COFFER_DO(set_scanned_->bind(1, as_signed(pack)).bind(2, as_signed(offset)).run());
  return transaction.commit();
}

Result<void> Index::forget_pack(std::uint64_t pack) {
  COFFER_TRY(db::Transaction transaction, db::Transaction::begin(writer_));
  for (const char* sql : {"DELETE FROM chunks WHERE pack = ?", "DELETE FROM unreadable WHERE pack = ?",
                          "DELETE FROM removals WHERE pack = ?", "DELETE FROM packs WHERE number = ?"}) {
    COFFER_TRY(db::Statement statement, writer_.prepare(sql));
    COFFER_DO(statement.bind(1, as_signed(pack)).run());
  }
  return transaction.commit();
}

Result<void> Index::forget_row(std::uint64_t pack, std::uint64_t offset) {
  const MutexLock lock(writing_mutex_);
  COFFER_DO(delete_unreadable_->bind(1, as_signed(pack)).bind(2, as_signed(offset)).run());
  return delete_->bind(1, as_signed(pack)).bind(2, as_signed(offset)).run();
}

Result<void> Index::move(const Entry& entry, db::Statement& from, db::Statement& to) {
  COFFER_TRY(db::Transaction transaction, db::Transaction::begin(writer_));
  COFFER_DO(from.bind(1, as_signed(entry.at.pack)).bind(2, as_signed(entry.at.offset)).run());
  COFFER_DO(bind(to, entry.at).bind(4, entry.id.bytes()).run());
  return transaction.commit();
}

Result<void> Index::set_unreadable(const Entry& entry) {
  const MutexLock lock(writing_mutex_);
  return move(entry, *delete_, *insert_unreadable_);
}

Result<void> Index::set_readable(const Entry& entry) {
  const MutexLock lock(writing_mutex_);
  return move(entry, *delete_unreadable_, *insert_);
}

Result<std::vector<Entry>> Index::unreadable() {
  COFFER_TRY(db::Statement statement, writer_.prepare("SELECT pack, offset, bytes, id FROM unreadable"));
  return entries_of(statement);
}

Result<std::vector<Location>> Index::removals() {
  COFFER_TRY(db::Statement statement, writer_.prepare("SELECT pack, offset, bytes FROM removals"));
  std::vector<Location> locations;
  for (;;) {
    COFFER_TRY(const bool found, statement.step());
    if (!found) return locations;
    locations.push_back(location(statement, 0));
  }
}

Result<void> Index::finish_removals(const std::vector<Location>& done,
                                    const std::vector<std::uint64_t>& deleted_packs) {
  const MutexLock lock(writing_mutex_);
  COFFER_TRY(db::Transaction transaction, db::Transaction::begin(writer_));
  COFFER_TRY(db::Statement removal, writer_.prepare("DELETE FROM removals WHERE pack = ? AND offset = ?"));
  for (const Location& at : done) {
    COFFER_DO(removal.bind(1, as_signed(at.pack)).bind(2, as_signed(at.offset)).run());
  }
  COFFER_TRY(db::Statement pack, writer_.prepare("DELETE FROM packs WHERE number = ?"));
  for (const std::uint64_t number : deleted_packs) COFFER_DO(pack.bind(1, as_signed(number)).run());
  return transaction.commit();
}

Result<std::map<std::uint64_t, std::uint64_t>> Index::scanned() {
  const MutexLock lock(reader_mutex_);
  COFFER_TRY(db::Statement statement, reader_.prepare("SELECT number, scanned FROM packs"));
  std::map<std::uint64_t, std::uint64_t> packs;
  for (;;) {
    COFFER_TRY(const bool found, statement.step());
    if (!found) return packs;
    packs[unsigned_column(statement, 0)] = unsigned_column(statement, 1);
  }
}

// Each page has a sum (common/db/page_sums.h), which SQLite's reading it compares; counting reads all of a table, but
// never the index beside it.
Result<void> Index::read_all() {
  for (const char* sql :
       {"SELECT count(*) FROM chunks NOT INDEXED",
        "SELECT sum(bytes) FROM chunks INDEXED BY chunks_by_id WHERE id >= x''", "SELECT count(*) FROM packs",
        "SELECT count(*) FROM removals", "SELECT count(*) FROM unreadable"}) {
    COFFER_TRY(db::Statement count, writer_.prepare(sql));
    COFFER_TRY([[maybe_unused]] const bool found, count.step());
  }
  return {};
}

Result<std::map<std::uint64_t, PackTotals>> Index::totals() {
  COFFER_TRY(db::Statement statement, writer_.prepare("SELECT pack, count(*), sum(bytes) FROM chunks GROUP BY pack"));
  std::map<std::uint64_t, PackTotals> packs;
  for (;;) {
    COFFER_TRY(const bool found, statement.step());
    if (!found) return packs;
    packs[unsigned_column(statement, 0)] = {.chunks = unsigned_column(statement, 1),
                                            .bytes = unsigned_column(statement, 2)};
  }
}

}  // namespace coffer::pack
