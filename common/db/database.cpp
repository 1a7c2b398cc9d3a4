#include "common/db/database.h"

#include <sqlite3.h>

#include <cerrno>
#include <utility>

#include "common/base/check.h"
#include "common/base/log.h"
#include "common/db/page_sums.h"
#include "common/db/sqlite_error.h"

namespace coffer::db {
namespace {

constexpr std::size_t kPartBytes = 1u << 20;

/// SQLite makes files as the umask says; its journal then takes the mode of the file that it belongs to.
///
/// A file that exists must not be opened here: close(2) drops every POSIX lock that this process has on it, those of
/// other connections included, and another process would then take their write-ahead log away.
Result<void> make_private_file(os::Disk& disk, const std::string& path) {
  const Result<std::unique_ptr<os::File>> made = disk.open(path, os::Open::create_new);
  if (made || made.error().code == EEXIST) return {};
  return Error(made.error()).in("open database");
}

const char* sync_pragma(Sync sync) {
  switch (sync) {
    case Sync::off: return "PRAGMA synchronous=OFF";
    case Sync::normal: return "PRAGMA synchronous=NORMAL";
    case Sync::full: return "PRAGMA synchronous=FULL";
  }
  COFFER_CHECK(false);
}

Result<void> configure(Database& db, const Options& options) {
  sqlite3_extended_result_codes(db.handle(), 1);
  sqlite3_busy_timeout(db.handle(), static_cast<int>(options.busy_timeout.count()));
  sqlite3_db_config(db.handle(), SQLITE_DBCONFIG_DEFENSIVE, 1, nullptr);
  // With mmap an I/O error would be a SIGBUS; temporary tables in memory keep names off the disk.
  COFFER_DO(
      db.execute("PRAGMA mmap_size=0; PRAGMA temp_store=MEMORY; PRAGMA foreign_keys=OFF; "
                 "PRAGMA trusted_schema=OFF"));
  COFFER_DO(db.execute(("PRAGMA cache_size=-" + std::to_string(options.cache_kib)).c_str()));
  COFFER_DO(db.execute(sync_pragma(options.sync)));
  if (options.read_only) return db.execute("PRAGMA query_only=ON");
  reserve_page_sums(db.handle());
  return db.execute(options.journal == Journal::wal ? "PRAGMA journal_mode=WAL" : "PRAGMA journal_mode=MEMORY");
}

/// Writes all of the file once more with the same bytes and syncs it, so that what the page cache shows of it is on the
/// disk too: after a sync that failed the kernel takes it for written (fsync(2)).
Result<void> write_back(os::Disk& disk, const std::string& path) {
  Result<std::unique_ptr<os::File>> opened = disk.open(path, os::Open::write);
  if (!opened) return opened.error().code == ENOENT ? Result<void>() : std::move(opened).error();
  os::File& file = **opened;
  COFFER_TRY(const std::uint64_t file_bytes, file.size());
  Bytes part(kPartBytes);
  for (std::uint64_t at = 0; at < file_bytes; at += part.size()) {
    COFFER_TRY(const std::size_t got, file.read_at(part, at));
    COFFER_DO(file.write_at(ByteView(part).first(got), at));
  }
  return file.sync();
}

/// What an earlier process could not sync is seen like all else, and answered for like all else: it is on the disk when
/// this returns. Nobody else writes to the log meanwhile.
Result<void> make_found_safe(Database& db, os::Disk& disk, const std::string& path) {
  COFFER_TRY(const Transaction others_wait, Transaction::begin(db));
  return write_back(disk, path + "-wal");
}

/// Before all else of SQLite. Without its count of the memory in use, which nobody reads, an allocation takes no lock.
void initialize() {
  static const int code = sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0);
  (void)code;  // Another part of this process may have begun to use SQLite, which then counts.
}

Result<std::int64_t> one_integer(Database& db, const char* sql) {
  COFFER_TRY(Statement statement, db.prepare(sql));
  COFFER_TRY(const bool found, statement.step());
  if (!found) return Error{Fault::corrupt, 0, "sqlite: a pragma gave no value"};
  return statement.integer(0);
}

/// A table or column that is not there is the file's fault where the statement fits our schema.
bool is_schema_damage(sqlite3* db) {
  return std::string_view(sqlite3_errmsg(db)).find("syntax error") == std::string_view::npos;
}

}  // namespace

Result<Database> Database::open(const std::string& path, const Options& options) {
  initialize();
  os::Disk& disk = options.disk != nullptr ? *options.disk : os::real_disk();
  if (!options.read_only && path != ":memory:") COFFER_DO(make_private_file(disk, path));
  const int flags = SQLITE_OPEN_NOMUTEX | (options.read_only ? SQLITE_OPEN_READONLY : SQLITE_OPEN_READWRITE);
  sqlite3* handle = nullptr;
  const int code = sqlite3_open_v2(path.c_str(), &handle, flags, page_sums_vfs(disk.sqlite_vfs()));
  Database db(handle);  // Even a failed open leaves something to close.
  if (code != SQLITE_OK) return sqlite_error(handle, code).in("open database");
  COFFER_DO(configure(db, options));
  const bool has_log = options.journal == Journal::wal && !options.read_only && path != ":memory:";
  if (has_log) COFFER_DO(make_found_safe(db, disk, path));
  return db;
}

Database::~Database() {
  // _v2: a statement that outlives its connection keeps it, instead of leaking it.
  sqlite3_close_v2(db_);
}

Database::Database(Database&& other) noexcept : db_(std::exchange(other.db_, nullptr)) {}

Database& Database::operator=(Database&& other) noexcept {
  Database taken(std::move(other));
  std::swap(db_, taken.db_);
  return *this;
}

Result<void> Database::execute(const char* sql) {
  const int code = sqlite3_exec(db_, sql, nullptr, nullptr, nullptr);
  if (code != SQLITE_OK) return sqlite_error(db_, code);
  return {};
}

Result<Statement> Database::prepare(const char* sql) {
  sqlite3_stmt* statement = nullptr;
  const int code = sqlite3_prepare_v3(db_, sql, -1, SQLITE_PREPARE_PERSISTENT, &statement, nullptr);
  if (code == SQLITE_OK) return Statement(statement);
  if ((code & 0xff) != SQLITE_ERROR) return sqlite_error(db_, code);
  if (is_schema_damage(db_)) return Error{Fault::corrupt, 0, std::string("sqlite: ") + sqlite3_errmsg(db_)};
  log::error("sqlite.statement_does_not_compile", {{"why", sqlite3_errmsg(db_)}});
  COFFER_CHECK(code == SQLITE_OK);
  return sqlite_error(db_, code);
}

Result<Statement> Database::prepare_found(std::string_view sql) {
  sqlite3_stmt* statement = nullptr;
  const int code = sqlite3_prepare_v3(db_, sql.data(), static_cast<int>(sql.size()), 0, &statement, nullptr);
  Statement prepared(statement);
  if (code == SQLITE_OK && statement != nullptr) return prepared;
  if ((code & 0xff) != SQLITE_ERROR && code != SQLITE_OK) return sqlite_error(db_, code);
  return Error{Fault::corrupt, 0, "a statement that was written down does not compile"};
}

Result<void> Database::migrate(std::initializer_list<const char*> migrations) {
  const auto wanted = static_cast<std::int64_t>(migrations.size());
  COFFER_TRY(std::int64_t version, one_integer(*this, "PRAGMA user_version"));
  while (version != wanted) {
    COFFER_TRY(Transaction transaction, Transaction::begin(*this));
    COFFER_TRY(version, one_integer(*this, "PRAGMA user_version"));  // Another process may have been faster.
    if (version > wanted) return Error{Fault::refused, 0, "database is of a newer version of Coffer"};
    if (version < 0) return Error{Fault::corrupt, 0, "database has no valid version"};
    if (version == wanted) break;
    COFFER_DO(execute(migrations.begin()[version]));
    ++version;
    COFFER_DO(execute(("PRAGMA user_version=" + std::to_string(version)).c_str()));
    COFFER_DO(transaction.commit());
  }
  return {};
}

std::int64_t Database::last_insert_rowid() const { return sqlite3_last_insert_rowid(db_); }
bool Database::is_in_transaction() const { return sqlite3_get_autocommit(db_) == 0; }
std::int64_t Database::changes() const { return sqlite3_changes64(db_); }
Result<void> Database::sync_journal() {
  sqlite3_file* journal = nullptr;
  const int code = sqlite3_file_control(db_, "main", SQLITE_FCNTL_JOURNAL_POINTER, &journal);
  if (code != SQLITE_OK) return sqlite_error(db_, code);
  if (journal == nullptr || journal->pMethods == nullptr) return {};  // Nothing was written yet.
  const int synced = journal->pMethods->xSync(journal, SQLITE_SYNC_NORMAL | SQLITE_SYNC_DATAONLY);
  return synced == SQLITE_OK ? Result<void>() : sqlite_error(db_, synced);
}

Result<std::int64_t> Database::data_version() { return one_integer(*this, "PRAGMA data_version"); }

Result<Transaction> Transaction::begin(Database& db) {
  COFFER_DO(db.execute("BEGIN IMMEDIATE"));
  return Transaction(db);
}

Transaction::~Transaction() {
  // Some failures, such as a full disk, make SQLite roll back by itself.
  if (db_ != nullptr && db_->is_in_transaction()) (void)db_->execute("ROLLBACK");
}

Transaction::Transaction(Transaction&& other) noexcept : db_(std::exchange(other.db_, nullptr)) {}

Result<void> Transaction::commit() {
  COFFER_CHECK(db_ != nullptr);
  COFFER_DO(db_->execute("COMMIT"));
  db_ = nullptr;
  return {};
}

}  // namespace coffer::db
