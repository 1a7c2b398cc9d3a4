// Sends what the tree says is owed: chunks first, most urgent first, then the commits that name them.
//
//     owed chunks ─ have ─ put_chunk ─▶ stored ─┐
//     owed changes ─────────────────────────────┴─ draft_commit ─ append_commit ─ receipt ─▶ committed
//
// Two threads, and no state but the tree's: after a crash the same questions to the tree give the same work. What the
// server has already is asked before the first chunk after a start or a reconnection, so nothing that is stored is
// sent twice, and a chunk that was broken off goes on at the byte. Acknowledgements are gathered and recorded many to
// a transaction.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/result.h"
#include "common/object/ids.h"
#include "fs/meta/tree.h"
#include "fs/seal/sealer.h"
#include "fs/spool/spool.h"
#include "fs/upload/remote.h"
#include "fs/value/chunk_row.h"
#include "fs/value/ids.h"

namespace coffer::upload {

using Deadline = std::chrono::steady_clock::time_point;

/// What is said of a server that signs with another key than it did; once it did, until the next mount.
inline constexpr std::string_view kOtherReceiptKey =
    "the server signs its receipts with another key than when this machine first saw it: what it says is stored may be "
    "another server's word. Ask who runs it; where the key was changed on purpose, unmount, and run `coffer recover "
    "--accept-receipt-key`";

/// All must outlive the Uploader.
struct Parts {
  meta::Tree& tree;
  spool::Spool& spool;
  const seal::Sealer& sealer;
  Remote& remote;
  object::VaultId vault;
  /// By which the server signed what this machine saw first; none where it has seen no server yet.
  std::optional<crypto::PublicKey> receipt_key = {};
};

/// Called on the uploader's threads or on that of a waiter.
struct Hooks {
  std::function<Result<void>()> flush_all;         ///< Everything written so far becomes spooled and owed.
  std::function<Result<void>()> seal_open_chunks;  ///< What is being batched becomes owed now.
  /// The server no longer takes commits of this lease; set_epoch() gives the next one.
  std::function<void(const Error&)> lease_doubted;
  /// The chunk cannot be sent as things are: its files are told. Without an error: it was, after all.
  std::function<void(const ChunkRow&, const std::optional<Error>&)> chunk_failed{};
  /// Why something of this inode (of any, for 0) cannot be sent: whoever waits for it is told at once.
  std::function<std::optional<Error>(InodeId)> failure_of{};
};

struct Progress {
  std::uint64_t chunks_sent = 0;     ///< Since start, acknowledged as stored.
  std::uint64_t bytes_sent = 0;      ///< Of those chunks.
  std::uint64_t chunks_skipped = 0;  ///< Found on the server by have().
  std::uint64_t commits = 0;         ///< Since start, with a receipt.
  std::uint64_t log_bytes = 0;       ///< Of those commits, as they count against a quota.
  std::uint64_t chunks_added = 0;    ///< By those commits.
  std::uint64_t bytes_in_flight = 0;
  std::uint64_t window_bytes = 0;
  std::optional<std::int64_t> last_receipt_ns;  ///< The server's clock, since 1970.
  std::vector<std::string> problems;            ///< A sentence each; gone once resolved.
};

/// Thread-safe. stop() before destruction.
class Uploader {
 public:
  Uploader(const Parts& parts, Hooks hooks);
  ~Uploader();

  void start();
  /// Waits for the two threads; waiters get Fault::stopped. Answers that come later are ignored.
  void stop();

  /// Something may be owed now. Cheap; never blocks.
  void wake();
  /// The same where nobody waits for it: what is written, synced to the local disk and removed within `delay` is not
  /// sent. Whoever waits for the server has it sent at once.
  void wake_within(std::chrono::milliseconds delay);
  /// The same where no chunk is: names, attributes, the end of a hold.
  void wake_commits();
  /// The link went up or down.
  void link_changed();
  /// The lease's epoch; nothing is sent without one.
  void set_epoch(std::optional<std::uint64_t> epoch);
  /// Nothing can be sent any more: waiters get `why`.
  void give_up(const Error& why);

  /// Returns when what was flushed of `inode` before the call is committed: its content, attributes and names.
  ///
  /// Fault::offline at `deadline`, Fault::stopped when `stop` is requested, Fault::refused when the server will never
  /// take it as things are. The data stays spooled and owed in each case.
  Result<void> wait_committed(InodeId inode, Deadline deadline, std::stop_token stop);
  /// The barrier: flushes everything, then waits until all that was done before the call is committed.
  Result<void> wait_all_committed(Deadline deadline, std::stop_token stop);

  Progress progress() const;

  class State;  // state.h

 private:
  class Threads;

  Result<void> wait_until(const std::function<Result<void>()>& raise, const std::function<Result<bool>()>& holds,
                          Deadline deadline, std::stop_token stop);
  Result<void> wait_for_commits(const std::function<Result<void>()>& raise, const std::function<Result<bool>()>& holds,
                                Deadline deadline, const std::stop_token& stop);
  bool ask_for_commit();
  void ask_for_chunks();

  std::shared_ptr<State> state_;  // Shared with the answers that are still to come.
  std::unique_ptr<Threads> threads_;
};

}  // namespace coffer::upload
