// What the uploader's threads, its waiters and the answers of the server share. For fs/upload only.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "common/base/mutex.h"
#include "fs/upload/uploader.h"
#include "fs/upload/window.h"

namespace coffer::upload {

/// What became of one chunk that was handed to the network.
struct Outcome {
  ChunkRow chunk;
  std::chrono::steady_clock::time_point sent_at;
  std::optional<Error> error;
};

/// A mailbox under one mutex. Nothing waits for disk or network while holding it, and no other lock is taken inside.
class Uploader::State {
 public:
  Mutex mutex;
  // One for each who waits, told only of what it waits for: every small file would else wake three threads in vain.
  Condition chunk_work;   ///< The chunk loop: all of what follows but commits.
  Condition commit_work;  ///< The commit loop.
  Condition committed;    ///< Waiters: commits_done, problems, stopping.

  bool stopping GUARDED_BY(mutex) = false;
  std::optional<std::uint64_t> epoch GUARDED_BY(mutex);
  bool chunks_wanted GUARDED_BY(mutex) = true;  ///< The tree may owe chunks that are not known here yet.
  /// The same of chunks that nobody waits for: they may be replaced or removed before they are sent.
  std::optional<std::chrono::steady_clock::time_point> chunks_due GUARDED_BY(mutex);
  bool commit_wanted GUARDED_BY(mutex) = true;  ///< The tree may have changes that are ready.
  /// Somebody waits, perhaps for so little that the next commit can take it along: no chunk is waited for.
  bool carry_wanted GUARDED_BY(mutex) = false;
  bool chunks_troubled GUARDED_BY(mutex) = false;  ///< The server refused some: that is the chunk loop's to end.
  bool looks_soon GUARDED_BY(mutex) = false;       ///< The commit loop looks by itself when a commit is due.
  bool may_have_more GUARDED_BY(mutex) = false;    ///< A commit was appended, and one is bounded.
  bool reordered GUARDED_BY(mutex) = false;        ///< Priorities were raised: what was picked may be the wrong ones.
  bool chunks_idle GUARDED_BY(mutex) = false;      ///< The chunk loop has nothing to do, nor the server to answer.
  bool link_came GUARDED_BY(mutex) = true;         ///< A connection after a time without: ask what is stored.
  unsigned waiters GUARDED_BY(mutex) = 0;
  std::chrono::steady_clock::time_point waited_since GUARDED_BY(mutex);  ///< The last waiter came.
  std::uint64_t commits_done GUARDED_BY(mutex) = 0;
  std::vector<Outcome> outcomes GUARDED_BY(mutex);
  std::map<std::string, Error> problems GUARDED_BY(mutex);
  Progress progress GUARDED_BY(mutex);

  void want_chunks() REQUIRES(mutex) {
    if (!std::exchange(chunks_wanted, true)) chunk_work.notify_one();
  }
  void want_chunks_by(std::chrono::steady_clock::time_point due) REQUIRES(mutex) {
    if (chunks_wanted || chunks_due) return;
    chunks_due = due;
    chunk_work.notify_one();
  }
  void want_commit() REQUIRES(mutex) {
    // What nobody waits for is due no sooner: the loop need not wake to hear so.
    const bool is_seen_in_time = waiters == 0 && looks_soon;
    if (!std::exchange(commit_wanted, true) && !is_seen_in_time) commit_work.notify_one();
  }
  /// What is not ready now waits for no chunk that will be stored soon.
  bool is_all_sent() const REQUIRES(mutex) { return chunks_idle && !chunks_wanted && !reordered; }
  bool may_carry() const REQUIRES(mutex) { return is_all_sent() && !chunks_troubled; }
  /// Something changed for all: the link, the lease, who waits, the end.
  void notify_all() REQUIRES(mutex) {
    chunk_work.notify_one();
    commit_work.notify_one();
    committed.notify_all();
  }
  void set_problem(const std::string& what, const Error& error) {
    const MutexLock lock(mutex);
    problems.insert_or_assign(what, error);
    committed.notify_all();
  }
  void clear_problem(const std::string& what) {
    const MutexLock lock(mutex);
    problems.erase(what);
  }
};

}  // namespace coffer::upload
