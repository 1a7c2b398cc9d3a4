// SQLite: connections, statements and transactions whose failures are Results.
//
// SQLITE_FULL is Fault::full, SQLITE_CORRUPT and SQLITE_NOTADB are Fault::corrupt, all others Fault::local_io.
// The text of a statement or a value never enters an Error: it may hold a name.
#pragma once

#include <chrono>
#include <cstdint>
#include <initializer_list>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/bytes.h"
#include "common/base/result.h"
#include "common/os/disk.h"

struct sqlite3;
struct sqlite3_stmt;

namespace coffer::db {

enum class Sync {
  off,     ///< SQLite's synchronous=OFF: for indexes that can be rebuilt.
  normal,  ///< A commit survives kill -9, not a power cut.
  full,    ///< A commit survives a power cut.
};

enum class Journal {
  wal,
  memory,  ///< A transaction can be rolled back; a process that is killed within one leaves a file to be thrown away.
};

struct Options {
  Sync sync = Sync::full;
  bool read_only = false;
  std::chrono::milliseconds busy_timeout{5000};
  int cache_kib = 2048;
  os::Disk* disk = nullptr;  ///< Where the file lies; null for the machine's own.
  Journal journal = Journal::wal;
};

class Statement;

/// One connection. Not thread-safe, nor are its statements.
class Database {
 public:
  /// Opens or makes the file (mode 0600). ":memory:" is a database of its own.
  static Result<Database> open(const std::string& path, const Options& options);
  ~Database();
  Database(Database&&) noexcept;
  Database& operator=(Database&&) noexcept;

  /// One or more statements without parameters or rows.
  Result<void> execute(const char* sql);
  /// `sql` is a literal of ours. A statement that does not compile is a bug and stops the process, unless the schema
  /// of a damaged file is at fault (Fault::corrupt).
  Result<Statement> prepare(const char* sql);

  /// The same of a text that a file of ours holds: Fault::corrupt if it does not compile.
  Result<Statement> prepare_found(std::string_view sql);

  /// Applies migrations[n] for each n at or after PRAGMA user_version, each in a transaction, and sets user_version.
  /// Fault::refused if the file is from a newer version of Coffer.
  Result<void> migrate(std::initializer_list<const char*> migrations);

  std::int64_t last_insert_rowid() const;
  std::int64_t changes() const;
  /// False after BEGIN too, where a failure made SQLite roll back by itself.
  bool is_in_transaction() const;
  /// Returns when no power cut takes what was committed, whatever `Options::sync` says: syncs the write-ahead log (what
  /// has left it was synced on its way). Also within a transaction, which stays open.
  Result<void> sync_journal();
  /// PRAGMA data_version: changes when another connection has committed.
  Result<std::int64_t> data_version();
  sqlite3* handle() const { return db_; }

 private:
  explicit Database(sqlite3* db) : db_(db) {}
  sqlite3* db_ = nullptr;
};

/// A prepared statement: bind, step, read columns, reset.
///
///     COFFER_TRY(Statement find, db.prepare("SELECT id FROM t WHERE name = ?"));
///     find.bind(1, name);
///     COFFER_TRY(const bool found, find.step());
///     if (found) use(find.integer(0));
///     find.reset();
///
/// Bound text and blobs are copied. Indexes of parameters begin at 1, of columns at 0, as in SQLite.
class Statement {
 public:
  ~Statement();
  Statement(Statement&&) noexcept;
  Statement& operator=(Statement&&) noexcept;

  Statement& bind(int parameter, std::int64_t value);
  Statement& bind(int parameter, std::string_view text);
  Statement& bind(int parameter, ByteView blob);
  /// Not copied: the bytes must stay until the next run() has returned, and another value be bound before one more.
  Statement& bind_in_place(int parameter, ByteView blob);
  Statement& bind_null(int parameter);

  /// True when a row is there, false at the end (the statement is reset then).
  Result<bool> step();
  /// step() to the end, for statements without rows; then reset.
  Result<void> run();
  /// Back to the start; the bound values stay.
  void reset();

  /// It changes nothing in the database.
  bool is_read_only() const;

  bool is_null(int column) const;
  std::int64_t integer(int column) const;
  /// Valid until the next step() or reset().
  std::string_view text(int column) const;
  ByteView blob(int column) const;

 private:
  friend class Database;
  explicit Statement(sqlite3_stmt* statement) : statement_(statement) {}
  sqlite3_stmt* statement_ = nullptr;
};

/// BEGIN IMMEDIATE; ROLLBACK unless commit() was called.
class Transaction {
 public:
  static Result<Transaction> begin(Database& db);
  ~Transaction();
  Transaction(Transaction&& other) noexcept;
  Transaction& operator=(Transaction&&) = delete;
  Result<void> commit();

 private:
  explicit Transaction(Database& db) : db_(&db) {}
  Database* db_;
};

}  // namespace coffer::db
