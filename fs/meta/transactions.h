// When SQLite commits. Operations that come often share one transaction; the redo log keeps what they did meanwhile.
//
//     closed ── begin(shared) ──▶ open ── settle() ──▶ closed          a transaction of SQLite is under way while open
//                                  │ a failure made SQLite roll all of it back
//                                  ▼
//                                open again, from the log; or broken, until a later call can do it
//
// Each operation within is a savepoint, so that one that fails leaves the others. begin(alone) settles first: what
// reads much, or takes long, is a transaction of its own, and others may read the tree beside it meanwhile.
#pragma once

#include <atomic>
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
  /// Without a log every operation is alone.
  Transactions(Connection& connection, std::unique_ptr<RedoLog> log) : connection_(connection), log_(std::move(log)) {}

  /// Runs again what the last process had answered and not committed. Once, before all else.
  Result<void> recover();

  Result<void> begin(Sharing sharing);
  /// After a failure the operation is undone, and those before it are as they were.
  Result<void> commit();
  void roll_back();

  /// SQLite commits what is open. After a failure it is still open, and known from the log.
  Result<void> settle();
  /// What the connection reads is what was answered. Fails while that cannot be had.
  Result<void> readable();
  /// Only the writer's connection sees all that was answered. From any thread.
  bool is_open() const { return is_open_.load(std::memory_order_acquire); }

 private:
  Result<void> commit_shared();
  Result<void> open_from_log();

  Connection& connection_;
  std::unique_ptr<RedoLog> log_;
  Sharing current_ = Sharing::alone;
  std::atomic<bool> is_open_ = false;
  std::optional<Error> broken_;
};

}  // namespace coffer::meta
