#include "fs/vault/log_watch.h"

#include <utility>

#include "common/base/log.h"
#include "common/os/clock.h"
#include "common/os/paths.h"
#include "fs/vault/follower.h"

namespace coffer::vault {

namespace {

using std::chrono::steady_clock;
using namespace std::chrono_literals;

constexpr auto kReplayDeadline = 30min;
constexpr auto kRetry = 5s;

class NobodyListens : public meta::TreeEvents {
 public:
  void chunk_dropped(const ChunkRow&) override {}
};

std::string commits(std::uint64_t first, std::uint64_t last) {
  const std::string from = std::to_string(first);
  return first == last ? "commit " + from + " is" : "commits " + from + " to " + std::to_string(last) + " are";
}

}  // namespace

Result<void> remove_server_tree(const VaultFolder& folder) {
  for (const char* end : {"", "-wal", "-shm", "-redo"}) {
    COFFER_DO(os::remove_all(*folder.disk, folder.server_tree() + end));
  }
  return {};
}

Result<void> replay_log(const VaultFolder& folder, const seal::Sealer& sealer, rpc::Client& client,
                        rpc::Deadline deadline) {
  COFFER_DO(remove_server_tree(folder));
  NobodyListens events;
  COFFER_TRY(const auto tree, meta::Tree::open(folder.server_tree(), os::real_clock(), events, *folder.disk));
  return Follower(*tree, sealer, client, {}).catch_up(deadline);
}

std::string describe(const meta::Divergence& divergence) {
  std::string text;
  if (divergence.is_prefix()) {
    text = commits(divergence.server.seq + 1, divergence.seen.seq) + " missing on the server";
  } else if (divergence.last_common) {
    text = "the server's log is another one than this client has seen, from commit " +
           std::to_string(*divergence.last_common + 1) + " on (a fork)";
  } else {
    text = "the server's log is older than what this client remembers of it, or another one";
  }
  text += "; " + std::to_string(divergence.path_count) + (divergence.path_count == 1 ? " path is" : " paths are") +
          " not there as here";
  if (divergence.returning_count > 0) {
    text += ", and " + std::to_string(divergence.returning_count) + " are still there that are gone here";
  }
  return text;
}

void LogWatch::raise(const Error& why) {
  const MutexLock lock(mutex_);
  if (alarm_ || stopping_) return;
  alarm_.emplace();
  alarm_->what = why.what;
  log::error("log_alarm", {{"why", why.what}});
  if (std::exchange(is_exploring_, true)) return;
  if (thread_.joinable()) thread_.join();  // It is over.
  thread_ = std::thread([this] { run(); });
}

void LogWatch::clear() {
  const MutexLock lock(mutex_);
  if (alarm_) log::info("log_alarm_over");
  alarm_.reset();
}

void LogWatch::stop() {
  std::thread thread;
  {
    const MutexLock lock(mutex_);
    stopping_ = true;
    changed_.notify_all();
    thread = std::move(thread_);
  }
  if (thread.joinable()) thread.join();
}

std::optional<LogAlarm> LogWatch::alarm() const {
  const MutexLock lock(mutex_);
  return alarm_;
}

void LogWatch::run() {
  for (;;) {
    Result<void> replayed = replay_log(folder_, sealer_, client_, steady_clock::now() + kReplayDeadline);
    Result<meta::Divergence> found = Error{Fault::stopped, 0, ""};
    if (replayed) {
      found = meta::find_divergence(folder_.tree(), folder_.server_tree(), kAlarmPathsMax, *folder_.disk);
    } else {
      found = std::move(replayed).error();
    }
    (void)remove_server_tree(folder_);  // The next one removes it first.
    const MutexLock lock(mutex_);
    if (found) {
      log::error("log_diverged", {{"server_seq", found->server.seq},
                                  {"seen_seq", found->seen.seq},
                                  {"last_common", found->last_common ? std::to_string(*found->last_common) : "unknown"},
                                  {"paths", found->path_count}});
      if (alarm_) {
        alarm_->what += ". Exactly: " + describe(*found);
        alarm_->server_seq = found->server.seq;
        alarm_->seen_seq = found->seen.seq;
        alarm_->last_common = found->last_common;
        alarm_->paths = found->paths;
        alarm_->path_count = found->path_count;
      }
      is_exploring_ = false;
      return;
    }
    if (found.error().fault != Fault::offline) log::warn("log_not_compared", {{"why", found.error().what}});
    const auto until = steady_clock::now() + kRetry;
    while (!stopping_ && steady_clock::now() < until) changed_.wait_until(mutex_, until);
    if (stopping_ || !alarm_) {
      is_exploring_ = false;
      return;
    }
  }
}

}  // namespace coffer::vault
