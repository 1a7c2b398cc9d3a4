// The statements of one connection, each prepared when it is first needed and then kept: SQLite's parser costs more
// than most of them.
#pragma once

#include <cstdint>
#include <unordered_map>
#include <utility>

#include "common/base/result.h"
#include "common/db/database.h"

namespace coffer::oplog {

/// A prepared statement on loan; reset when it is given back.
class Lent {
 public:
  explicit Lent(db::Statement& statement) : statement_(&statement) {}
  Lent(Lent&& other) noexcept : statement_(std::exchange(other.statement_, nullptr)) {}
  Lent& operator=(Lent&&) = delete;
  ~Lent() {
    if (statement_ != nullptr) statement_->reset();
  }
  db::Statement* operator->() const { return statement_; }

 private:
  db::Statement* statement_;
};

/// Not thread-safe. A statement must not be lent again while it is on loan.
class Statements {
 public:
  explicit Statements(db::Database& database) : database_(database) {}

  /// `sql` is a literal, known by its address.
  Result<Lent> lend(const char* sql) {
    auto found = prepared_.find(sql);
    if (found == prepared_.end()) {
      COFFER_TRY(db::Statement statement, database_.prepare(sql));
      found = prepared_.emplace(sql, std::move(statement)).first;
    }
    return Lent(found->second);
  }
  std::int64_t changes() const { return database_.changes(); }

 private:
  db::Database& database_;
  std::unordered_map<const char*, db::Statement> prepared_;
};

}  // namespace coffer::oplog
