#include "fs/meta/transactions.h"

#include <array>
#include <bit>
#include <limits>
#include <string>
#include <unordered_map>
#include <utility>

#include "common/base/log.h"
#include "common/os/random.h"

namespace coffer::meta {
namespace {

/// Runs statements by their text, each prepared once.
class Replay {
 public:
  explicit Replay(db::Database& database) : database_(database) {}

  Result<void> run(std::string_view sql, std::span<const RedoLog::Value> values) {
    auto found = statements_.find(std::string(sql));
    if (found == statements_.end()) {
      COFFER_TRY(db::Statement prepared, database_.prepare_found(sql));
      found = statements_.emplace(std::string(sql), std::move(prepared)).first;
    }
    int parameter = 0;
    for (const RedoLog::Value& value : values) {
      ++parameter;
      std::visit([&](const auto& bound) { found->second.bind(parameter, bound); }, value);
    }
    ++count_;
    return found->second.run();
  }
  std::size_t count() const { return count_; }

 private:
  db::Database& database_;
  std::unordered_map<std::string, db::Statement> statements_;
  std::size_t count_ = 0;
};

Result<std::uint64_t> generation_in(Connection& connection) {
  Rows rows = connection.query("SELECT redo FROM state");
  COFFER_TRY(const bool found, rows.step());
  if (!found) return Error{Fault::corrupt, 0, "the tree has lost its counters"};
  return rows.u64(0);
}

/// At random: a power cut may take transactions and leave what was logged after them. A number that is counted would be
/// given again to others, and make those records theirs.
std::uint64_t new_generation() {
  std::array<std::byte, 8> bytes{};
  os::real_random().fill(bytes);
  return std::bit_cast<std::uint64_t>(bytes);
}

Result<void> set_generation(Connection& connection, std::uint64_t generation) {
  return connection.run("UPDATE state SET redo = ?", generation);
}

Error undone() { return {Fault::local_io, 0, "SQLite undid the transaction at a failure within it"}; }

}  // namespace

Result<void> Transactions::recover() {
  if (!log_) return {};
  COFFER_TRY(const std::uint64_t generation, generation_in(connection_));
  log_->begin(generation);
  COFFER_DO(open_from_log(std::numeric_limits<std::uint32_t>::max()));
  safe_count_ = std::numeric_limits<std::uint32_t>::max();  // The last process may have answered for all of it.
  return settle();
}

// The transaction of the log's generation, as far as the log knows it.
Result<void> Transactions::open_from_log(std::uint32_t count_max) {
  connection_.log_to(nullptr);
  is_open_ = true;
  is_whole_ = false;
  connection_.inodes().forget();
  if (connection_.database().is_in_transaction()) (void)connection_.run("ROLLBACK");
  if (ghost_) (void)touch();
  COFFER_DO(connection_.run("BEGIN IMMEDIATE"));
  Replay replay(connection_.database());
  Result<void> replayed = log_->replay(
      count_max, [&](std::string_view sql, std::span<const RedoLog::Value> values) { return replay.run(sql, values); });
  if (!replayed) {
    (void)connection_.run("ROLLBACK");
    log::error("tree_not_readable", {{"why", replayed.error().what}});
    return std::move(replayed).error().in("the tree's last changes");
  }
  if (replay.count() > 0) log::info("tree_redone", {{"statements", replay.count()}});
  is_whole_ = true;
  return {};
}

bool Transactions::is_undone() const { return is_open_ && !(is_whole_ && connection_.database().is_in_transaction()); }

Result<void> Transactions::readable() { return is_undone() ? reopen() : Result<void>(); }

Result<void> Transactions::begin(Sharing sharing) {
  if (sync_failure_) return *sync_failure_;
  COFFER_DO(readable());
  COFFER_DO(lay_ghost());
  current_ = log_ ? sharing : Sharing::alone;
  if (current_ == Sharing::alone || !log_->has_room()) COFFER_DO(settle());
  if (current_ == Sharing::alone) return connection_.run("BEGIN IMMEDIATE");
  if (!is_open_) COFFER_DO(connection_.run("BEGIN IMMEDIATE"));
  is_open_ = true;
  is_whole_ = true;
  connection_.log_to(log_.get());
  return {};
}

Result<void> Transactions::commit() {
  if (current_ == Sharing::shared) return commit_shared();
  if (log_) return commit_as_next();
  COFFER_DO(write_back_());
  return connection_.run("COMMIT");
}

// What is logged from now on builds on this transaction. A power cut may take it and leave the log.
Result<void> Transactions::commit_as_next() {
  if (!connection_.database().is_in_transaction()) return undone();
  COFFER_DO(write_back_());
  const std::uint64_t next = new_generation();
  COFFER_DO(set_generation(connection_, next));
  if (Result<void> committed = connection_.run("COMMIT"); !committed) {
    ghost_ = committed.error();
    return committed;
  }
  ghost_.reset();
  is_journal_safe_ = false;
  if (safe_count_ > 0) (void)sync_journal();
  safe_count_ = 0;
  log_->begin(next);
  return {};
}

Result<void> Transactions::sync_journal() {
  if (Result<void> synced = connection_.database().sync_journal(); !synced) sync_failure_ = std::move(synced).error();
  is_journal_safe_ = !sync_failure_;
  return sync_failure_ ? Result<void>(*sync_failure_) : Result<void>();
}

Result<void> Transactions::commit_shared() {
  connection_.log_to(nullptr);
  if (!connection_.database().is_in_transaction()) return undone();
  const Result<bool> is_logged = log_->append();
  if (!is_logged) is_whole_ = false;
  if (!is_logged) return is_logged.error();
  // Too large for the log: SQLite commits it, and with it all that is open.
  return *is_logged ? Result<void>() : settle();
}

void Transactions::roll_back() {
  if (current_ == Sharing::alone) {
    // Some failures, such as a full disk, make SQLite roll back by itself; it then says that nothing is to be undone.
    (void)connection_.run("ROLLBACK");
    connection_.inodes().forget();
    if (ghost_) (void)touch();
    return;
  }
  connection_.log_to(nullptr);
  if (log_->has_statements()) is_whole_ = false;
  log_->discard();
  (void)readable();
}

Result<void> Transactions::settle() {
  if (!is_open_) return {};
  COFFER_DO(readable());
  Result<void> committed = commit_as_next();
  if (!committed) {
    (void)reopen();
    return committed;
  }
  is_open_ = false;
  return sync_failure_ ? Result<void>(*sync_failure_) : Result<void>();
}

Result<void> Transactions::power_safe() {
  if (sync_failure_) return *sync_failure_;
  COFFER_DO(readable());
  COFFER_DO(lay_ghost());
  if (!is_journal_safe_) COFFER_DO(sync_journal());
  if (!is_open_ || safe_count_ == log_->count()) return {};
  safe_count_ = log_->count();  // Before: a sync that fails may have written them.
  Result<void> synced = log_->sync();
  if (!synced) sync_failure_ = synced.error();
  return synced;
}

// A commit that changes nothing, the generation included: as a ghost it does no harm, and the one before it is gone.
// Outside of a transaction.
Result<void> Transactions::touch() {
  COFFER_DO(connection_.run("BEGIN IMMEDIATE"));
  Result<void> done = connection_.run("UPDATE state SET touched = touched + 1");
  if (done) done = connection_.run("COMMIT");
  if (done) {
    ghost_.reset();
  } else if (connection_.database().is_in_transaction()) {
    (void)connection_.run("ROLLBACK");
  }
  return done;
}

Result<void> Transactions::lay_ghost() {
  if (!ghost_) return {};
  if (is_open_) {
    COFFER_DO(reopen());
  } else {
    (void)touch();
  }
  return ghost_ ? Result<void>(*ghost_) : Result<void>();
}

}  // namespace coffer::meta
