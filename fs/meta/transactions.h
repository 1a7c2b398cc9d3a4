// When SQLite commits. Operations that come often share one transaction; the redo log keeps what they did meanwhile.
//
//     closed ── begin(shared) ──▶ open ── settle() ──▶ closed          a transaction of SQLite is under way while open
//                                  │ a failure made SQLite roll all of it back
//                                  ▼
//                                undone ── the next call ──▶ open again, from the log; or undone still
//
// SQLite rolls back at any failure of the disk (sqlite3.c, vdbeHalt), one to read a page for a SELECT among them, and
// tells by is_in_transaction() alone. What ran then would be a transaction of its own, so every call looks first.
//
// An operation within that fails after it changed something, which is rare, takes the others with it, and these are run
// again from the log: a savepoint for each would cost all of them what one of them needs. begin(alone) settles first:
// what reads much, or takes long, is a transaction of its own, and others may read the tree beside it meanwhile.
//
// A commit that failed may lie whole in SQLite's journal, where this process takes it for undone and a process that
// starts after a kill would find it: a ghost. What is logged meanwhile is not made for the state that it leaves. So
// after a failed commit nothing is answered before another one, which changes nothing, was written in its place.
//
// What is to survive a power cut need not be committed for it: the log is synced, and before it, once, the transactions
// that it builds on. Where that was done, SQLite's journal is synced after the next commit and before the log begins
// anew, so at each moment one of the two has it.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <utility>

#include "common/base/result.h"
#include "fs/meta/connection.h"
#include "fs/meta/redo_log.h"

namespace coffer::meta {

enum class Sharing {
  shared,  ///< Answered once it is in the redo log.
  alone,   ///< Answered once SQLite has committed it.
};

/// Not thread-safe. Keeps a reference to `connection`.
class Transactions {
 public:
  /// Without a log every operation is alone. `write_back` brings what is late to SQLite, before each of its commits.
  Transactions(Connection& connection, std::unique_ptr<RedoLog> log, std::function<Result<void>()> write_back)
      : connection_(connection), log_(std::move(log)), write_back_(std::move(write_back)) {}

  /// Runs again what the last process had answered and not committed. Once, before all else.
  Result<void> recover();

  Result<void> begin(Sharing sharing);
  /// After a failure the operation is undone, and those before it are as they were.
  Result<void> commit();
  void roll_back();

  /// SQLite commits what is open. After a failure it is still open, and known from the log.
  Result<void> settle();
  /// No power cut takes what was answered. Outside of an operation.
  Result<void> power_safe();
  /// What the connection reads is what was answered. Fails while that cannot be had.
  Result<void> readable();
  /// Only the writer's connection sees all that was answered. From any thread.
  bool is_open() const { return is_open_.load(std::memory_order_acquire); }

 private:
  Result<void> commit_shared();
  Result<void> commit_as_next();
  Result<void> touch();
  Result<void> lay_ghost();
  Result<void> open_from_log(std::uint32_t count_max);
  Result<void> reopen() { return open_from_log(log_->count()); }
  bool is_undone() const;
  Result<void> sync_journal();

  Connection& connection_;
  std::unique_ptr<RedoLog> log_;
  std::function<Result<void>()> write_back_;
  Sharing current_ = Sharing::alone;
  std::atomic<bool> is_open_ = false;  ///< Also while undone: what was answered is then in the log alone.
  bool is_whole_ = true;               ///< False while what SQLite has open may be a part of it.
  std::optional<Error> ghost_;         ///< Why the commit failed.
  bool is_journal_safe_ = false;       ///< All that SQLite has committed is on stable storage.
  /// Operations of the log that are, or may be, on stable storage: they must not be overwritten before SQLite's are.
  std::uint32_t safe_count_ = 0;
  std::optional<Error> sync_failure_;  ///< Nothing is answered any more: nobody knows what the disk has (fsync(2)).
};

}  // namespace coffer::meta
