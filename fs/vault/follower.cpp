#include "fs/vault/follower.h"

#include <cerrno>
#include <utility>

#include "common/base/log.h"
#include "common/object/commit.h"

namespace coffer::vault {

namespace {

using std::chrono::steady_clock;
using namespace std::chrono_literals;

constexpr std::uint64_t kPageBytes = 8u << 20;
constexpr auto kPollWait = 20s;
constexpr auto kRetry = 5s;

Error alarm_error(std::string what) {
  return {Fault::corrupt, EIO,
          "ALARM: " + std::move(what) +
              ". The server was restored from an old copy, or it lies. Nothing is changed here and nothing is sent: "
              "have the server's newer copy restored, or run `coffer umount` and then `coffer recover`"};
}

}  // namespace

std::optional<Error> alarm_of(const meta::Head& seen, const rpc::VaultState& server) {
  if (server.head_seq < seen.seq) {
    return alarm_error("the server's log ends at commit " + std::to_string(server.head_seq) +
                       ", but this client has seen commit " + std::to_string(seen.seq));
  }
  if (server.head_seq == seen.seq && seen.seq > 0 && server.head_hash != seen.hash) {
    return alarm_error("the server's commit " + std::to_string(seen.seq) + " is not the one that this client has seen");
  }
  return std::nullopt;
}

Error Follower::alarm(std::string what) {
  Error error = alarm_error(std::move(what));
  if (hooks_.alarmed) hooks_.alarmed(error);
  return error;
}

Result<void> Follower::catch_up(rpc::Deadline deadline) {
  for (;;) {
    COFFER_TRY(const bool more, take_page(0ms, deadline));
    if (!more) return check_head(deadline);
  }
}

// True if there may be more behind.
Result<bool> Follower::take_page(std::chrono::milliseconds wait, rpc::Deadline deadline) {
  COFFER_TRY(const meta::Head head, tree_.head());
  COFFER_TRY(const rpc::CommitPage page, rpc::wait<rpc::CommitPage>([&](auto done) {
               client_.get_commits(head.seq + 1, kPageBytes, wait, deadline, std::move(done));
             }));
  if (page.head_seq < head.seq) {
    return alarm("the server's log ends at commit " + std::to_string(page.head_seq) +
                 ", but this client has seen commit " + std::to_string(head.seq));
  }
  // A poll brings no commit that is too large for its share of the window.
  if (page.commits.empty() && page.head_seq > head.seq && wait > 0ms) return take_page(0ms, deadline);
  for (const Bytes& bytes : page.commits) COFFER_DO(take(bytes));
  COFFER_TRY(const meta::Head now, tree_.head());
  return !page.commits.empty() && now.seq < page.head_seq;
}

Result<void> Follower::take(const Bytes& bytes) {
  COFFER_TRY(const object::Commit commit, object::decode_commit(bytes));
  const object::CommitHash hash = object::hash_of(bytes);
  COFFER_TRY(const std::optional<Bytes> pending, tree_.pending_commit());
  if (pending && object::hash_of(*pending) == hash)
    return tree_.commit_done(commit.seq, hash);  // Our own; the receipt was lost.
  COFFER_TRY(const meta::Head head, tree_.head());
  if (commit.seq != head.seq + 1 || commit.previous != head.hash) {
    return alarm("commit " + std::to_string(commit.seq) + " on the server does not follow commit " +
                 std::to_string(head.seq) + " that this client has seen");
  }
  COFFER_TRY(const meta::Owed owed, tree_.owed());
  if (owed.inodes + owed.names > 0 || owed.commit_pending) {
    return Error{
        Fault::refused, EBUSY,
        "another client changed the vault while changes of this one were not yet sent. They are kept here: write them "
        "out with `coffer owed export DIR`, unmount, run `coffer owed drop`, and mount again"};
  }
  Result<Bytes> payload = sealer_.open_payload(commit, seal::kPayloadPlainBytesMax);
  if (!payload) return std::move(payload).error().in("commit " + std::to_string(commit.seq));
  Result<meta::Changed> changed = tree_.apply(commit, *payload, hash);
  if (!changed) return std::move(changed).error().in("commit " + std::to_string(commit.seq));
  if (hooks_.changed) hooks_.changed(*changed);
  return {};
}

// At the same seq the hashes must be the same. What was seen is asked first: the server's log only grows.
Result<void> Follower::check_head(rpc::Deadline deadline) {
  COFFER_TRY(const meta::Head head, tree_.head());
  COFFER_TRY(const rpc::VaultState state,
             rpc::wait<rpc::VaultState>([&](auto done) { client_.ping(deadline, std::move(done)); }));
  if (std::optional<Error> error = alarm_of(head, state)) {
    if (hooks_.alarmed) hooks_.alarmed(*error);
    return *std::move(error);
  }
  if (hooks_.server_said) hooks_.server_said(state);
  return {};
}

void Follower::start() {
  thread_ = std::thread([this] { run(); });
}

void Follower::stop() {
  {
    const MutexLock lock(mutex_);
    stopping_ = true;
    wake_.notify_all();
  }
  if (thread_.joinable()) thread_.join();
}

std::string Follower::problem() const {
  const MutexLock lock(mutex_);
  return problem_;
}

void Follower::run() {
  for (;;) {
    Result<bool> taken = take_page(kPollWait, steady_clock::now() + kPollWait + 30s);
    if (taken && !*taken) {
      if (Result<void> checked = check_head(steady_clock::now() + 30s); !checked) taken = std::move(checked).error();
    }
    if (taken && hooks_.followed) hooks_.followed();
    const MutexLock lock(mutex_);
    if (stopping_) return;
    if (taken) {
      problem_.clear();
      continue;
    }
    const Error& error = taken.error();
    if (error.fault == Fault::stopped) return;
    if (error.fault != Fault::offline && problem_ != error.what) {
      problem_ = error.what;
      log::error("log_not_followed", {{"why", error.what}});
    }
    const auto until = steady_clock::now() + kRetry;
    while (!stopping_ && wake_.wait_until(mutex_, until)) {
    }
    if (stopping_) return;
  }
}

}  // namespace coffer::vault
