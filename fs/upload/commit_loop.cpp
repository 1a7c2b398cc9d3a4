#include "fs/upload/commit_loop.h"

#include <algorithm>
#include <cerrno>
#include <utility>

#include "common/base/limits.h"
#include "common/base/log.h"
#include "common/object/commit.h"
#include "common/object/quota.h"

namespace coffer::upload {

namespace {

using std::chrono::steady_clock;
using namespace std::chrono_literals;

// Where nobody waits, a second's changes share one commit.
constexpr auto kCommitInterval = 1s;
// Someone waits, and chunks are on their way: each that is stored may make something ready, but not each is worth a
// look. The first look is due when all are stored, or after this time.
constexpr auto kChunksInterval = 10ms;
constexpr auto kPause = 5s;
/// Chunks that a commit takes along; each is a write of its own at the server.
constexpr std::size_t kCarriedMax = 4;

}  // namespace

void CommitLoop::run() {
  auto last = steady_clock::now() - kCommitInterval;
  for (;;) {
    std::uint64_t epoch = 0;
    bool carries = false;
    {
      const MutexLock lock(state_->mutex);
      for (;;) {
        if (state_->stopping) return;
        const bool is_wanted = state_->commit_wanted || state_->may_have_more;
        const bool may_commit = is_wanted && state_->epoch && parts_.remote.online();
        const bool is_ready = state_->commit_wanted && (state_->carry_wanted || state_->is_all_sent());
        const auto next_at = state_->waiters == 0 ? last + kCommitInterval
                             : is_ready           ? last
                                                  : std::max(last, state_->waited_since) + kChunksInterval;
        if (may_commit && steady_clock::now() >= next_at) break;
        state_->looks_soon = may_commit;
        if (may_commit) {
          state_->commit_work.wait_until(state_->mutex, next_at);
        } else {
          state_->commit_work.wait(state_->mutex);
        }
        state_->looks_soon = false;
      }
      epoch = *state_->epoch;
      state_->commit_wanted = false;  // Before the tree is asked: what becomes ready meanwhile asks again.
      state_->may_have_more = false;
      carries = std::exchange(state_->carry_wanted, false);
    }
    last = steady_clock::now();
    Result<std::optional<Next>> commit = next(epoch, carries);
    if (!commit) {
      log::error("commit_not_drafted", {{"why", commit.error().what}});
      const char* const what = commit.error().fault == Fault::local_io ? "disk" : "commit";
      state_->set_problem(what, std::move(commit).error().in("the next commit"));
      pause(kPause);
      continue;
    }
    state_->clear_problem("disk");
    if (commit->has_value()) append(**commit, epoch);
    end_quota_problem();
    {
      const MutexLock lock(state_->mutex);
      ++state_->commits_done;
    }
    state_->committed.notify_all();  // Waiters look again, also where nothing was left to commit.
  }
}

// The commit to append now. After a power cut the tree must still know it for its own: else the log would seem to hold
// another client's commit. Its chunks are stored, or their bytes lie beside it, but the tree also names others that are
// here alone: they go first.
Result<std::optional<CommitLoop::Next>> CommitLoop::next(std::uint64_t epoch, bool carries) {
  COFFER_TRY(std::optional<Next> commit, pending_or_new(epoch, carries));
  if (!commit) return commit;
  std::vector<object::ChunkId> carried;
  for (const meta::CarriedChunk& chunk : commit->carried) carried.push_back(chunk.row.id);
  COFFER_DO(parts_.spool.settle(carried));
  return commit;
}

// The one that a former try left, or a new one of what is ready.
Result<std::optional<CommitLoop::Next>> CommitLoop::pending_or_new(std::uint64_t epoch, bool carries) {
  COFFER_TRY(std::optional<Bytes> pending, parts_.tree.pending_commit());
  if (pending) {
    COFFER_TRY(const object::Commit commit, object::decode_commit(*pending));
    if (commit.epoch == epoch) {
      COFFER_TRY(std::vector<meta::CarriedChunk> carried, parts_.tree.carried());
      return std::optional(Next{*std::move(pending), std::move(carried)});
    }
    // It was made under an earlier lease and is not in the log, which was read up to its head before this lease was
    // set: the server can never take it.
    COFFER_DO(parts_.tree.commit_refused());
  }
  release_what_went_along();
  Next next;
  if (carries) {
    COFFER_TRY(next.carried, little_that_is_owed());
  }
  const auto seal = [&](const meta::Draft& draft) -> Result<Bytes> {
    object::Commit commit;
    commit.vault = parts_.vault;
    commit.seq = draft.seq;
    commit.previous = draft.previous;
    commit.epoch = epoch;
    commit.added = draft.added;
    commit.released = draft.released;
    commit.payload = parts_.sealer.seal_payload(draft.payload, commit);  // Last: it binds all that is set above.
    return object::encode(commit);
  };
  COFFER_TRY(std::optional<Bytes> drafted,
             parts_.tree.draft_commit(seal, next.carried.empty() ? nullptr : &next.carried));
  if (!drafted) return std::optional<Next>();
  next.bytes = *std::move(drafted);
  return std::optional(std::move(next));
}

// All chunks that are owed, or none where that is more than a commit can take along.
Result<std::vector<meta::CarriedChunk>> CommitLoop::little_that_is_owed() {
  std::vector<meta::CarriedChunk> little;
  COFFER_TRY(const std::vector<ChunkRow> owed,
             parts_.tree.owed_chunks(kCarriedMax + 1, [](ChunkKey) { return false; }));
  std::size_t bytes = 0;
  for (const ChunkRow& chunk : owed) bytes += chunk.sealed_bytes;
  if (owed.size() > kCarriedMax || bytes > parts_.remote.carried_bytes_max()) return little;
  for (const ChunkRow& chunk : owed) {
    Result<std::shared_ptr<const Bytes>> sealed = parts_.spool.get(chunk.id);
    if (sealed) little.push_back({chunk, *std::move(sealed)});  // Else the chunk loop finds out why not.
  }
  return little;
}

// A server that takes no chunks with a commit (any more) gets them first.
Result<object::Receipt> CommitLoop::send(const Next& next) {
  const auto deadline = steady_clock::now() + limits::kRequestDeadline;
  const bool is_carrying = parts_.remote.carried_bytes_max() > 0;
  std::vector<std::shared_ptr<const Bytes>> along;
  for (const meta::CarriedChunk& chunk : next.carried) {
    if (is_carrying) {
      along.push_back(chunk.sealed);
      continue;
    }
    COFFER_TRY([[maybe_unused]] const rpc::PutChunkDone stored, rpc::wait<rpc::PutChunkDone>([&](auto done) {
                 parts_.remote.put_chunk(chunk.row.id, chunk.sealed, 0, deadline, std::move(done));
               }));
  }
  return rpc::wait<object::Receipt>(
      [&](auto done) { parts_.remote.append_commit(next.bytes, std::move(along), deadline, std::move(done)); });
}

// With no commit pending, what the last one took along is stored or owed by itself, whoever has found it in the log.
void CommitLoop::release_what_went_along() {
  for (const ChunkRow& chunk : std::exchange(went_along_, {})) {
    const Result<ChunkRow> row = parts_.tree.chunk(chunk.key);
    if (row && row->state >= ChunkState::stored) parts_.spool.release(chunk.id);
  }
}

void CommitLoop::append(const Next& next, std::uint64_t epoch) {
  const object::CommitHash hash = object::hash_of(next.bytes);
  const std::size_t commit_bytes = next.bytes.size();
  const Result<object::Commit> commit = object::decode_commit(next.bytes);
  const std::size_t added_count = commit ? commit->added.size() : 0;
  for (const meta::CarriedChunk& chunk : next.carried) went_along_.push_back(chunk.row);
  Result<object::Receipt> receipt = send(next);
  if (receipt && (receipt->hash != hash || receipt->vault != parts_.vault)) {
    receipt = Error{Fault::protocol, 0, "the server's receipt is for another commit"};
  }
  if (receipt) {
    // A server that names another key today has its receipts checked with that one. A check costs as much as all else
    // that a small commit costs here, so not twice with the same.
    if (parts_.receipt_key && parts_.remote.checks_receipts_with() != parts_.receipt_key &&
        !object::holds(*receipt, *parts_.receipt_key)) {
      state_->set_problem("receipt", {Fault::refused, 0, std::string(kOtherReceiptKey)});
    }
    if (Result<void> done = parts_.tree.commit_done(receipt->seq, hash, object::encode(*receipt)); !done) {
      state_->set_problem("commit", std::move(done).error().in("recording a receipt"));
      pause(kPause);
      return;
    }
    release_what_went_along();
    log::debug("committed", {{"seq", receipt->seq}, {"bytes", commit_bytes}});
    const MutexLock lock(state_->mutex);
    state_->problems.erase("commit");
    state_->problems.erase("refused");
    state_->progress.last_receipt_ns = static_cast<std::int64_t>(receipt->server_time_ns);
    ++state_->progress.commits;
    state_->progress.log_bytes += object::counted_commit_bytes(commit_bytes, added_count);
    state_->progress.chunks_added += added_count;
    state_->progress.chunks_sent += next.carried.size();
    for (const meta::CarriedChunk& chunk : next.carried) state_->progress.bytes_sent += chunk.row.sealed_bytes;
    state_->may_have_more = true;  // Whoever waits and finds that it was not all asks at once.
    return;
  }
  const Error& error = receipt.error();
  if (error.fault == Fault::stopped) return;
  if (error.fault == Fault::offline) {
    const MutexLock lock(state_->mutex);
    state_->commit_wanted = true;  // The same bytes, as soon as the link is back.
    return;
  }
  if (error.fault == Fault::refused && (error.code == EDQUOT || error.code == ENOSPC) && !next.carried.empty()) {
    // It is not in the log, and others may fit where this does not: the chunks go by themselves, and whoever waits for
    // them hears of it.
    if (const Result<void> undone = parts_.tree.commit_refused(); !undone)
      state_->set_problem("commit", undone.error());
    return;
  }
  log::error("commit_refused", {{"why", error.what}, {"fault", fault_name(error.fault)}});
  refused(error, epoch);
}

void CommitLoop::refused(const Error& error, std::uint64_t epoch) {
  if (error.fault != Fault::refused) {
    state_->set_problem("commit", error);
    pause(kPause);
    return;
  }
  if (error.code == ENOENT) {  // A chunk that the server acknowledged is not there: its disk was set back.
    const Result<void> found = send_lost_chunks_again();
    if (!found) state_->set_problem("commit", found.error());
    pause(kPause);
    return;
  }
  if (error.code == EINVAL) {  // Nothing that another lease would change.
    state_->set_problem("refused", {Fault::refused, EIO,
                                    "the server refuses what is to be committed next (" + error.what +
                                        "): it is kept here; `coffer owed list` shows what it is"});
    pause(kPause);
    return;
  }
  if (error.code == EDQUOT || error.code == ENOSPC) {  // It says nothing of the lease, and ends by itself.
    state_->set_problem("commit", error);
    pause(kPause);
    return;
  }
  {
    const MutexLock lock(state_->mutex);
    if (state_->epoch == epoch) state_->epoch.reset();
  }
  lease_doubted_(error);
}

Result<void> CommitLoop::send_lost_chunks_again() {
  COFFER_TRY(const std::optional<Bytes> pending, parts_.tree.pending_commit());
  if (!pending) return {};
  COFFER_TRY(object::Commit commit, object::decode_commit(*pending));
  COFFER_TRY(const std::vector<rpc::HaveState> states, rpc::wait<std::vector<rpc::HaveState>>([&](auto done) {
               parts_.remote.have(commit.added, steady_clock::now() + limits::kRequestDeadline, std::move(done));
             }));
  std::vector<object::ChunkId> lost;
  for (std::size_t i = 0; i < states.size() && i < commit.added.size(); ++i) {
    if (!states[i].stored) lost.push_back(commit.added[i]);
  }
  COFFER_DO(parts_.tree.commit_refused());
  for (const object::ChunkId& id : lost) parts_.spool.owe(id);  // Before the tree hands it out to be sent.
  COFFER_DO(parts_.tree.chunks_lost(lost));
  const MutexLock lock(state_->mutex);
  state_->want_chunks();
  return {};
}

// What found no room may be gone again. Else the chunk loop hears of room when it next sends one.
void CommitLoop::end_quota_problem() {
  {
    const MutexLock lock(state_->mutex);
    if (!state_->problems.contains("quota")) return;
  }
  const Result<meta::Owed> owed = parts_.tree.owed();
  if (owed && owed->chunks == 0) state_->clear_problem("quota");
}

void CommitLoop::pause(std::chrono::milliseconds time) {
  const auto until = steady_clock::now() + time;
  const MutexLock lock(state_->mutex);
  state_->committed.notify_all();
  while (!state_->stopping && state_->commit_work.wait_until(state_->mutex, until)) {
  }
  state_->commit_wanted = true;
}

}  // namespace coffer::upload
