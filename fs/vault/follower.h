// Reads the vault's log and brings the tree up to its head.
//
// The tree pins the last commit that it knows, by seq and hash. A server whose log ends before it, or holds another
// commit there, went back or forked: that is an alarm, and nothing is overwritten, nothing sent.
#pragma once

#include <atomic>
#include <functional>
#include <optional>
#include <thread>

#include "common/base/mutex.h"
#include "common/base/result.h"
#include "fs/meta/tree.h"
#include "fs/seal/sealer.h"
#include "net/rpc/client.h"

namespace coffer::vault {

/// Called on whichever thread reads the log.
struct FollowerHooks {
  std::function<void(const meta::Changed&)> changed;        ///< After each commit of others.
  std::function<void(const Error&)> alarmed;                ///< The server's log is not the one that the tree pins.
  std::function<void(const rpc::VaultState&)> server_said;  ///< Now and then, when it is that one.
  std::function<void()> followed;  ///< Now and then, on the thread of start(), while the server answers.
};

/// Whether a server whose log ends there can be the one whose commit `seen` was its last once: an alarm, or nothing.
std::optional<Error> alarm_of(const meta::Head& seen, const rpc::VaultState& server);

/// Thread-safe.
class Follower {
 public:
  Follower(meta::Tree& tree, const seal::Sealer& sealer, rpc::Client& client, FollowerHooks hooks)
      : tree_(tree), sealer_(sealer), client_(client), hooks_(std::move(hooks)) {}
  ~Follower() { stop(); }

  /// Blocks until the tree is at the head that the server has now. Fault::offline; Fault::corrupt for an alarm;
  /// Fault::refused with EBUSY where another client went on while this one owes changes.
  Result<void> catch_up(rpc::Deadline deadline);

  /// Goes on following with a thread of its own, as a read-only mount does.
  void start();
  /// rpc::Client::stop() first: it ends the request that waits.
  void stop();

  /// What went wrong last, for the status; empty if nothing.
  std::string problem() const;

 private:
  Error alarm(std::string what);
  Result<bool> take_page(std::chrono::milliseconds wait, rpc::Deadline deadline);
  Result<void> take(const Bytes& bytes);
  Result<void> check_head(rpc::Deadline deadline);
  void run();

  meta::Tree& tree_;
  const seal::Sealer& sealer_;
  rpc::Client& client_;
  const FollowerHooks hooks_;
  mutable Mutex mutex_;
  Condition wake_;
  bool stopping_ GUARDED_BY(mutex_) = false;
  std::string problem_ GUARDED_BY(mutex_);
  std::thread thread_;
};

}  // namespace coffer::vault
