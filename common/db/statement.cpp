#include <sqlite3.h>

#include <utility>

#include "common/base/check.h"
#include "common/db/database.h"
#include "common/db/sqlite_error.h"

namespace coffer::db {
namespace {

/// SQLite binds NULL for a null pointer; an empty text or blob is a value.
const void* not_null(const void* data) { return data != nullptr ? data : ""; }

ByteView column_bytes(sqlite3_stmt* statement, const void* data, int column) {
  return {static_cast<const std::byte*>(data), static_cast<std::size_t>(sqlite3_column_bytes(statement, column))};
}

}  // namespace

Statement::~Statement() { sqlite3_finalize(statement_); }

Statement::Statement(Statement&& other) noexcept : statement_(std::exchange(other.statement_, nullptr)) {}

Statement& Statement::operator=(Statement&& other) noexcept {
  Statement taken(std::move(other));
  std::swap(statement_, taken.statement_);
  return *this;
}

Statement& Statement::bind(int parameter, std::int64_t value) {
  COFFER_CHECK(sqlite3_bind_int64(statement_, parameter, value) == SQLITE_OK);
  return *this;
}

Statement& Statement::bind(int parameter, std::string_view text) {
  COFFER_CHECK(sqlite3_bind_text64(statement_, parameter, static_cast<const char*>(not_null(text.data())), text.size(),
                                   SQLITE_TRANSIENT, SQLITE_UTF8) == SQLITE_OK);
  return *this;
}

Statement& Statement::bind(int parameter, ByteView blob) {
  COFFER_CHECK(sqlite3_bind_blob64(statement_, parameter, not_null(blob.data()), blob.size(), SQLITE_TRANSIENT) ==
               SQLITE_OK);
  return *this;
}

Statement& Statement::bind_in_place(int parameter, ByteView blob) {
  COFFER_CHECK(sqlite3_bind_blob64(statement_, parameter, not_null(blob.data()), blob.size(), SQLITE_STATIC) ==
               SQLITE_OK);
  return *this;
}

Statement& Statement::bind_null(int parameter) {
  COFFER_CHECK(sqlite3_bind_null(statement_, parameter) == SQLITE_OK);
  return *this;
}

Result<bool> Statement::step() {
  const int code = sqlite3_step(statement_);
  if (code == SQLITE_ROW) return true;
  if (code == SQLITE_DONE) {
    reset();
    return false;
  }
  Error error = sqlite_error(sqlite3_db_handle(statement_), code);
  reset();
  return error;
}

Result<void> Statement::run() {
  for (;;) {
    COFFER_TRY(const bool found, step());
    if (!found) return {};
  }
}

void Statement::reset() { sqlite3_reset(statement_); }  // Repeats what step() has already told.

bool Statement::is_read_only() const { return sqlite3_stmt_readonly(statement_) != 0; }

bool Statement::is_null(int column) const { return sqlite3_column_type(statement_, column) == SQLITE_NULL; }
std::int64_t Statement::integer(int column) const { return sqlite3_column_int64(statement_, column); }

std::string_view Statement::text(int column) const {
  return as_text(column_bytes(statement_, sqlite3_column_text(statement_, column), column));
}

ByteView Statement::blob(int column) const {
  return column_bytes(statement_, sqlite3_column_blob(statement_, column), column);
}

}  // namespace coffer::db
