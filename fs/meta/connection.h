// One SQLite connection, its prepared statements, each prepared when it is first needed and then kept, and the rows of
// inodes that it has in memory.
#pragma once

#include <concepts>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>

#include "common/base/bytes.h"
#include "common/base/result.h"
#include "common/base/strong.h"
#include "common/db/database.h"
#include "common/object/ids.h"
#include "fs/meta/inode_rows.h"
#include "fs/meta/redo_log.h"

namespace coffer::meta {

/// The rows of one running statement; resets it when it goes. A failure to prepare shows at the first step().
class Rows {
 public:
  explicit Rows(db::Statement* statement) : statement_(statement) {}
  explicit Rows(Error error) : error_(std::move(error)) {}
  Rows(Rows&& other) noexcept : statement_(std::exchange(other.statement_, nullptr)), error_(std::move(other.error_)) {}
  Rows& operator=(Rows&&) = delete;
  ~Rows() {
    if (statement_ != nullptr) statement_->reset();
  }

  Result<bool> step() {
    if (error_) return *error_;
    return statement_->step();
  }

  bool is_null(int column) const { return statement_->is_null(column); }
  std::int64_t integer(int column) const { return statement_->integer(column); }
  std::uint64_t u64(int column) const { return static_cast<std::uint64_t>(integer(column)); }
  std::uint32_t u32(int column) const { return static_cast<std::uint32_t>(integer(column)); }
  /// Valid until the next step().
  ByteView blob(int column) const { return statement_->blob(column); }
  std::string text(int column) const { return std::string(as_text(blob(column))); }
  /// Zeros for a value of another length.
  template <class Id>
  Id id(int column) const {
    Result<Id> found = Id::from(blob(column));
    return found ? *found : Id();
  }

 private:
  db::Statement* statement_ = nullptr;
  std::optional<Error> error_;
};

/// Calls `each` with the Rows standing on every row. `each` must not begin the same statement again.
template <class Each>
Result<void> for_each(Rows rows, Each each) {
  for (;;) {
    COFFER_TRY(const bool found, rows.step());
    if (!found) return {};
    each(rows);
  }
}

/// Rows that one statement inserts. The statement for one row costs as much again as its row.
inline constexpr std::size_t kRowsAtOnce = 16;
/// "HEAD VALUES ROW, ROW, ..." for kRowsAtOnce of them. Keep it: its address is what it is known by.
std::string insert_many(std::string_view head, std::string_view row);

/// Not thread-safe. A statement must not be begun again while its Rows are in use.
class Connection {
 public:
  explicit Connection(db::Database database) : database_(std::move(database)) {}

  /// `sql` is a literal; parameters are integers, Strong numbers, Ids, and bytes (which names are).
  template <class... Args>
  Rows query(const char* sql, const Args&... args) {
    Prepared* const prepared = find(sql);
    if (prepared == nullptr) return Rows(*failed_);
    const bool is_read_only = prepared->statement.is_read_only();
    if (prepared->names_inodes) {
      if (Result<void> written = inodes_.write_back(*this); !written) return Rows(std::move(written).error());
      if (!is_read_only) inodes_.forget();
    }
    bind_all(prepared->statement, args...);
    if (!is_read_only) log(sql, args...);
    return Rows(&prepared->statement);
  }

  /// A query that reads no row that is late.
  template <class... Args>
  Rows query_settled(const char* sql, const Args&... args) {
    Prepared* const prepared = find(sql);
    if (prepared == nullptr) return Rows(*failed_);
    bind_all(prepared->statement, args...);
    return Rows(&prepared->statement);
  }

  template <class... Args>
  Result<void> run(const char* sql, const Args&... args) {
    Rows rows = query(sql, args...);
    COFFER_TRY([[maybe_unused]] const bool row, rows.step());
    return {};
  }

  /// Whether the query has a row.
  template <class... Args>
  Result<bool> any(const char* sql, const Args&... args) {
    Rows rows = query(sql, args...);
    return rows.step();
  }

  /// From now on statements that change something are added to `log` too; nullptr: no more. They are run to their end.
  void log_to(RedoLog* log) { redo_ = log; }
  /// Adds a statement to the log that is run later, or need not be run here.
  template <class... Args>
  void log(const char* sql, const Args&... args) {
    if (redo_ != nullptr) redo_->add(sql, args...);
  }
  /// Runs a statement that was logged before, or was not to be.
  template <class... Args>
  Result<void> run_late(const char* sql, const Args&... args) {
    Rows rows = query_settled(sql, args...);
    COFFER_TRY([[maybe_unused]] const bool row, rows.step());
    return {};
  }

  /// Inserts many rows by one statement of insert_many(), which neither logs nor writes what is late: for each of them
  /// `values(row, bind)` calls bind(its values...), whose bytes must stay until this returns.
  template <class Range, class Values>
  Result<void> insert(const std::string& sql, const Range& rows, Values values) {
    Prepared* const prepared = find(sql.c_str());
    if (prepared == nullptr) return *failed_;
    int parameter = 0;
    for (const auto& row : rows) {
      values(row, [&](const auto&... bound) { (bind_in_place(prepared->statement, ++parameter, bound), ...); });
    }
    return prepared->statement.run();
  }

  /// Late ones are written before a statement runs that names the table.
  InodeRows& inodes() { return inodes_; }

  /// Rows that the last INSERT, UPDATE or DELETE changed.
  std::int64_t changes() const { return database_.changes(); }
  db::Database& database() { return database_; }

 private:
  struct Prepared {
    db::Statement statement;
    bool names_inodes;
  };
  Prepared* find(const char* sql);

  template <class... Args>
  static void bind_all(db::Statement& statement, const Args&... args) {
    int parameter = 0;
    (bind(statement, ++parameter, args), ...);
  }
  template <std::integral T>
  static void bind(db::Statement& statement, int parameter, T value) {
    statement.bind(parameter, static_cast<std::int64_t>(value));
  }
  template <class T, class Tag>
  static void bind(db::Statement& statement, int parameter, const Strong<T, Tag>& value) {
    statement.bind(parameter, static_cast<std::int64_t>(value.value()));
  }
  template <std::size_t kBytes, class Tag>
  static void bind(db::Statement& statement, int parameter, const object::Id<kBytes, Tag>& id) {
    statement.bind(parameter, id.bytes());
  }
  static void bind(db::Statement& statement, int parameter, ByteView bytes) { statement.bind(parameter, bytes); }
  static void bind(db::Statement& statement, int parameter, std::string_view name) {
    statement.bind(parameter, as_bytes(name));
  }

  template <class T>
  static void bind_in_place(db::Statement& statement, int parameter, const T& value) {
    if constexpr (std::is_same_v<T, std::string_view>) {
      statement.bind_in_place(parameter, as_bytes(value));
    } else {
      bind(statement, parameter, value);
    }
  }

  db::Database database_;
  std::unordered_map<const char*, std::unique_ptr<Prepared>> statements_;
  std::optional<Error> failed_;
  RedoLog* redo_ = nullptr;
  InodeRows inodes_;
};

}  // namespace coffer::meta
