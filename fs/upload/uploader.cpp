#include "fs/upload/uploader.h"

#include <cerrno>
#include <thread>
#include <utility>

#include "fs/upload/chunk_loop.h"
#include "fs/upload/commit_loop.h"
#include "fs/upload/state.h"

namespace coffer::upload {
class Uploader::Threads {
 public:
  Threads(const Parts& parts, Hooks hooks_given, std::shared_ptr<State> state)
      : hooks(std::move(hooks_given)),
        tree(parts.tree),
        remote(parts.remote),
        chunks(parts, state, hooks.chunk_failed),
        commits(parts, state, hooks.lease_doubted) {}

  Hooks hooks;
  meta::Tree& tree;
  Remote& remote;
  ChunkLoop chunks;
  CommitLoop commits;
  std::thread chunk_thread, commit_thread;
};

Uploader::Uploader(const Parts& parts, Hooks hooks)
    : state_(std::make_shared<State>()), threads_(std::make_unique<Threads>(parts, std::move(hooks), state_)) {}

Uploader::~Uploader() { stop(); }

void Uploader::start() {
  threads_->chunk_thread = std::thread([this] { threads_->chunks.run(); });
  threads_->commit_thread = std::thread([this] { threads_->commits.run(); });
}

void Uploader::stop() {
  {
    const MutexLock lock(state_->mutex);
    state_->stopping = true;
    state_->notify_all();
  }
  if (threads_->chunk_thread.joinable()) threads_->chunk_thread.join();
  if (threads_->commit_thread.joinable()) threads_->commit_thread.join();
}

void Uploader::wake() {
  const MutexLock lock(state_->mutex);
  state_->want_chunks();
  state_->want_commit();
}

void Uploader::wake_within(std::chrono::milliseconds delay) {
  const MutexLock lock(state_->mutex);
  if (state_->waiters > 0) {
    state_->want_chunks();
  } else {
    state_->want_chunks_by(std::chrono::steady_clock::now() + delay);
  }
}

void Uploader::wake_commits() {
  const MutexLock lock(state_->mutex);
  state_->want_commit();
}

void Uploader::link_changed() {
  const MutexLock lock(state_->mutex);
  state_->link_came = state_->chunks_wanted = state_->commit_wanted = true;
  state_->notify_all();
}

void Uploader::set_epoch(std::optional<std::uint64_t> epoch) {
  const MutexLock lock(state_->mutex);
  state_->epoch = epoch;
  if (epoch) state_->problems.erase("lease");
  state_->chunks_wanted = state_->commit_wanted = true;
  state_->notify_all();
}

void Uploader::give_up(const Error& why) {
  set_epoch(std::nullopt);
  state_->set_problem("lease", why);
}

Result<void> Uploader::wait_committed(InodeId inode, Deadline deadline, std::stop_token stop) {
  COFFER_TRY(const bool already, threads_->tree.committed(inode));
  if (already) return {};
  COFFER_DO(threads_->hooks.seal_open_chunks());
  return wait_until([&] { return threads_->tree.raise(inode); },
                    [&]() -> Result<bool> {
                      // Each time: another file may have been emptied meanwhile, and be bound to this one by renames.
                      COFFER_DO(threads_->tree.let_go_for(inode));
                      COFFER_TRY(const bool is_committed, threads_->tree.committed(inode));
                      if (is_committed || !threads_->hooks.failure_of) return is_committed;
                      if (std::optional<Error> failure = threads_->hooks.failure_of(inode)) return *std::move(failure);
                      return false;
                    },
                    deadline, std::move(stop));
}

Result<void> Uploader::wait_all_committed(Deadline deadline, std::stop_token stop) {
  COFFER_DO(threads_->hooks.flush_all());
  COFFER_DO(threads_->hooks.seal_open_chunks());
  const Mark mark = threads_->tree.mark();
  return wait_until([] { return Result<void>(); },
                    [&]() -> Result<bool> {
                      COFFER_TRY(const bool is_committed, threads_->tree.committed_up_to(mark));
                      if (is_committed || !threads_->hooks.failure_of) return is_committed;
                      if (std::optional<Error> failure = threads_->hooks.failure_of(InodeId()))
                        return *std::move(failure);
                      return false;
                    },
                    deadline, std::move(stop));
}

Result<void> Uploader::wait_until(const std::function<Result<void>()>& raise,
                                  const std::function<Result<bool>()>& holds, Deadline deadline, std::stop_token stop) {
  State& state = *state_;
  const std::stop_callback on_stop(stop, [&state] {
    const MutexLock lock(state.mutex);
    state.committed.notify_all();
  });
  {
    const MutexLock lock(state.mutex);
    ++state.waiters;
    state.waited_since = std::chrono::steady_clock::now();
  }
  threads_->remote.somebody_waits(true);
  const Result<void> result = wait_for_commits(raise, holds, deadline, stop);
  threads_->remote.somebody_waits(false);
  const MutexLock lock(state.mutex);
  --state.waiters;
  return result;
}

// What little is owed goes with the next commit. False where that cannot be.
bool Uploader::ask_for_commit() {
  const bool is_carrying = threads_->remote.carried_bytes_max() > 0;
  {
    const MutexLock lock(state_->mutex);
    if (!is_carrying || !state_->may_carry()) return false;
    state_->carry_wanted = state_->commit_wanted = true;
  }
  state_->commit_work.notify_one();  // Not under the mutex: who wakes would wait for it.
  return true;
}

// What is waited for goes first.
void Uploader::ask_for_chunks() {
  const MutexLock lock(state_->mutex);
  state_->reordered = state_->chunks_wanted = state_->commit_wanted = true;
  state_->notify_all();
}

// Asks `holds` before all else and after every commit; the tree is never asked under the mutex.
Result<void> Uploader::wait_for_commits(const std::function<Result<void>()>& raise,
                                        const std::function<Result<bool>()>& holds, Deadline deadline,
                                        const std::stop_token& stop) {
  State& state = *state_;
  bool has_asked_for_chunks = false;
  std::uint64_t commits = 0;
  for (bool is_first = true;; is_first = false) {
    std::uint64_t seen = 0;
    bool goes_on = is_first;
    {
      const MutexLock lock(state.mutex);
      seen = state.commits_done;
      goes_on = std::exchange(commits, state.progress.commits) != state.progress.commits || is_first;
      if (goes_on) state.may_have_more = false;
    }
    COFFER_TRY(const bool held, holds());
    if (held) return {};
    // A commit that brought nothing, or none that could: the chunks are more than a commit takes along, or in trouble.
    const bool is_asked = goes_on && !has_asked_for_chunks && ask_for_commit();
    if (!is_asked && !std::exchange(has_asked_for_chunks, true)) {
      COFFER_DO(raise());
      ask_for_chunks();
    } else if (!is_asked && goes_on) {
      const MutexLock lock(state.mutex);
      state.want_commit();
    }
    const MutexLock lock(state.mutex);
    while (state.commits_done == seen) {
      if (stop.stop_requested() || state.stopping)
        return Error{Fault::stopped, EINTR, "stopped while it waited for the server"};
      for (const char* what : {"lease", "quota", "refused", "disk"}) {
        if (const auto problem = state.problems.find(what); problem != state.problems.end()) return problem->second;
      }
      if (!state.committed.wait_until(state.mutex, deadline)) {
        return Error{Fault::offline, ETIMEDOUT, "the server has not committed it in time; it is kept here and goes on"};
      }
    }
  }
}

Progress Uploader::progress() const {
  const MutexLock lock(state_->mutex);
  Progress progress = state_->progress;
  for (const auto& [what, error] : state_->problems) progress.problems.push_back(error.what);
  return progress;
}

}  // namespace coffer::upload
