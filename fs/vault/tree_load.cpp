#include "fs/vault/tree_load.h"

#include <deque>
#include <future>
#include <memory>
#include <optional>
#include <thread>
#include <utility>

#include "common/base/mutex.h"
#include "common/object/commit.h"
#include "common/os/clock.h"
#include "fs/meta/load.h"

namespace coffer::vault {
namespace {

using namespace std::chrono_literals;

constexpr std::uint64_t kPageBytes = 8u << 20;
/// Decoded commits that wait: some 2 MiB each where they are full.
constexpr std::size_t kWaitingMax = 4;

struct Read {
  object::Commit commit;
  object::CommitHash hash;
  meta::Operations operations;
};

/// Gives the commits of the log in turn, read by a thread of its own.
class LogReader {
 public:
  LogReader(const seal::Sealer& sealer, rpc::Client& client, rpc::Deadline deadline)
      : sealer_(sealer), client_(client), deadline_(deadline), thread_([this] { read_all(); }) {}
  ~LogReader() {
    {
      const MutexLock lock(mutex_);
      is_stopping_ = true;
      changed_.notify_all();
    }
    thread_.join();
  }

  /// nullopt behind the last.
  Result<std::optional<Read>> next() {
    const MutexLock lock(mutex_);
    while (waiting_.empty() && !end_) changed_.wait(mutex_);
    if (waiting_.empty()) return *end_ ? Result<std::optional<Read>>(std::nullopt) : end_->error();
    std::optional<Read> read(std::move(waiting_.front()));
    waiting_.pop_front();
    changed_.notify_all();
    return read;
  }

 private:
  using Page = std::future<Result<rpc::CommitPage>>;

  Page ask(std::uint64_t from_seq) {
    auto promise = std::make_shared<std::promise<Result<rpc::CommitPage>>>();
    Page page = promise->get_future();
    client_.get_commits(from_seq, kPageBytes, 0ms, deadline_,
                        [promise](Result<rpc::CommitPage> got) { promise->set_value(std::move(got)); });
    return page;
  }

  void read_all() {
    Result<void> read = read_pages();
    const MutexLock lock(mutex_);
    end_ = std::move(read);
    changed_.notify_all();
  }

  Result<void> read_pages() {
    std::uint64_t next_seq = 1;
    for (Page asked = ask(next_seq); asked.valid();) {
      COFFER_TRY(const rpc::CommitPage page, asked.get());
      next_seq += page.commits.size();
      const bool is_last = page.commits.empty() || next_seq > page.head_seq;
      asked = is_last ? Page() : ask(next_seq);
      for (const Bytes& bytes : page.commits) {
        COFFER_TRY(Read read, open(bytes));
        if (!give(std::move(read))) return {};
      }
    }
    return {};
  }

  Result<Read> open(const Bytes& bytes) const {
    COFFER_TRY(object::Commit commit, object::decode_commit(bytes));
    COFFER_TRY(const Bytes payload, sealer_.open_payload(commit, seal::kPayloadPlainBytesMax));
    COFFER_TRY(meta::Operations operations, meta::Operations::decode(payload));
    return Read{std::move(commit), object::hash_of(bytes), std::move(operations)};
  }

  /// False where nobody wants more.
  bool give(Read read) {
    const MutexLock lock(mutex_);
    while (waiting_.size() >= kWaitingMax && !is_stopping_) changed_.wait(mutex_);
    if (is_stopping_) return false;
    waiting_.push_back(std::move(read));
    changed_.notify_all();
    return true;
  }

  const seal::Sealer& sealer_;
  rpc::Client& client_;
  const rpc::Deadline deadline_;
  Mutex mutex_;
  Condition changed_;
  std::deque<Read> waiting_ GUARDED_BY(mutex_);
  std::optional<Result<void>> end_ GUARDED_BY(mutex_);
  bool is_stopping_ GUARDED_BY(mutex_) = false;
  std::thread thread_;
};

}  // namespace

Result<void> load_tree(const std::string& path, os::Disk& disk, const seal::Sealer& sealer, rpc::Client& client,
                       rpc::Deadline deadline) {
  COFFER_TRY(const std::unique_ptr<meta::Load> load, meta::Load::begin(path, os::real_clock(), disk));
  LogReader log(sealer, client, deadline);
  for (;;) {
    COFFER_TRY(const std::optional<Read> read, log.next());
    if (!read) return load->finish();
    COFFER_DO(load->apply(read->commit, read->operations, read->hash));
  }
}

}  // namespace coffer::vault
