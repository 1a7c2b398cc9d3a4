// The right to write to the vault: acquires it, renews it at a third of its time, and gives it back.
//
//     none ── acquired ──▶ held ──▶ (renewal refused) ──▶ none
//     none ── another client holds it ──▶ denied          before anything was written: the vault opens read-only
//     none ── another client holds it, or wrote meanwhile ──▶ lost    after start(): what is owed is kept
//
// denied and lost last until the vault is closed.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <thread>

#include "common/base/mutex.h"
#include "common/base/result.h"
#include "net/rpc/client.h"

namespace coffer::vault {

enum class LeaseState { none, held, denied, lost };

struct LeaseHooks {
  /// The server granted `epoch`: read the log up to its head before anything is sent. Fault::refused or Fault::corrupt:
  /// the lease is of no use (lost).
  std::function<Result<void>(std::uint64_t epoch)> granted;
  /// Nothing may be sent: for now, or with a reason, any more.
  std::function<void(const std::optional<std::string>& why_lost)> gone;
  /// The server refuses this client, for as long as the link says so. Once each time.
  std::function<void()> refused;
  /// After each renewal, about every ten seconds.
  std::function<void()> renewed;
};

/// Thread-safe.
class Lease {
 public:
  Lease(rpc::Client& client, LeaseHooks hooks) : client_(client), hooks_(std::move(hooks)) {}
  ~Lease() { stop(); }

  /// One try; blocks. Sets the state to held or denied. Fault::offline leaves it none.
  Result<void> acquire(bool force, rpc::Deadline deadline);
  /// From now on it is kept by a thread: acquired when online, renewed in time.
  void start();
  /// Ends the thread. The lease is not given back.
  void stop();
  /// Gives it back, within `deadline`.
  void release(rpc::Deadline deadline);
  /// The server refused a commit of ours: asks for the lease anew, which tells whether another has it.
  void doubt();
  /// For good, whatever the server says: nothing may be sent any more.
  void give_up(const std::string& why) { lose(why); }
  void link_changed();
  /// It is not to be had any more, or of no use.
  void lose(const std::string& why);

  LeaseState state() const;
  std::string holder() const;
  std::string problem() const;  ///< Empty unless lost.

 private:
  void run();
  void renew(std::uint64_t epoch);
  void give_back(std::uint64_t epoch, rpc::Deadline deadline);

  rpc::Client& client_;
  LeaseHooks hooks_;
  mutable Mutex mutex_;
  Condition changed_;
  bool stopping_ GUARDED_BY(mutex_) = false;
  LeaseState state_ GUARDED_BY(mutex_) = LeaseState::none;
  bool is_refused_ GUARDED_BY(mutex_) = false;  // The link is, and refused() was called.
  bool is_losing_ GUARDED_BY(mutex_) = false;
  bool was_held_ GUARDED_BY(mutex_) = false;
  std::uint64_t epoch_ GUARDED_BY(mutex_) = 0;
  std::string holder_ GUARDED_BY(mutex_);
  std::string problem_ GUARDED_BY(mutex_);
  rpc::Deadline next_ GUARDED_BY(mutex_){};  // When to renew, or to try again.
  std::thread thread_;
};

}  // namespace coffer::vault
