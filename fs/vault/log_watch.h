// Finds out what is missing when the server's log is not the one that this client has seen.
//
//     alarm ─▶ the server's log is read from its first commit on into a tree of its own, and compared with the local
//     one
//           ─▶ which commits, and which paths: for the status; a line without names for the log
//
// Nothing here changes the local tree or sends anything.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <thread>

#include "common/base/mutex.h"
#include "common/base/result.h"
#include "fs/meta/divergence.h"
#include "fs/meta/tree.h"
#include "fs/seal/sealer.h"
#include "fs/vault/home.h"
#include "fs/vault/status.h"
#include "net/rpc/client.h"

namespace coffer::vault {

inline constexpr std::size_t kAlarmPathsMax = 100;

/// Reads the server's whole log into a new tree at folder.server_tree(). Blocks; `deadline` is for all of it.
Result<void> replay_log(const VaultFolder& folder, const seal::Sealer& sealer, rpc::Client& client,
                        rpc::Deadline deadline);
/// Removes that tree.
Result<void> remove_server_tree(const VaultFolder& folder);

/// In words: what is missing, from which commit on.
std::string describe(const meta::Divergence& divergence);

/// Thread-safe. Keeps references; stop() before destruction, after rpc::Client::stop().
class LogWatch {
 public:
  LogWatch(const VaultFolder& folder, const seal::Sealer& sealer, rpc::Client& client)
      : folder_(folder), sealer_(sealer), client_(client) {}
  ~LogWatch() { stop(); }

  /// The first time it begins to look what is missing, on a thread of its own.
  void raise(const Error& why);
  /// The server's log is the known one again.
  void clear();
  void stop();

  std::optional<LogAlarm> alarm() const;

 private:
  void run();

  const VaultFolder folder_;
  const seal::Sealer& sealer_;
  rpc::Client& client_;
  mutable Mutex mutex_;
  Condition changed_;
  bool stopping_ GUARDED_BY(mutex_) = false;
  bool is_exploring_ GUARDED_BY(mutex_) = false;
  std::optional<LogAlarm> alarm_ GUARDED_BY(mutex_);
  std::thread thread_ GUARDED_BY(mutex_);
};

}  // namespace coffer::vault
