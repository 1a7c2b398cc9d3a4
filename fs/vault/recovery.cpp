#include "fs/vault/recovery.h"

#include <algorithm>
#include <cerrno>
#include <limits>
#include <map>

#include "common/base/log.h"
#include "common/db/database.h"
#include "common/os/paths.h"
#include "fs/meta/check.h"
#include "fs/vault/log_watch.h"
#include "fs/vault/parts.h"
#include "fs/vault/vault.h"

namespace coffer::vault {

namespace {

using std::chrono::steady_clock;
using namespace std::chrono_literals;

constexpr auto kReplayDeadline = 60min;
constexpr auto kAskDeadline = 60s;
constexpr std::size_t kIdsAtOnce = 4096;

/// Removes the tree of the server's log however it ends.
struct ServerTree {
  const VaultFolder& folder;
  ~ServerTree() { (void)remove_server_tree(folder); }
};

/// SQLite's own copy: it takes the journal along, and is synced as this connection syncs (SQLite 3.40, VACUUM INTO).
Result<void> keep_old_tree(const VaultFolder& folder) {
  const std::string copy = folder.tree() + ".before-recover";
  COFFER_DO(os::replace_file(*folder.disk, copy, {}));  // Empty, and readable by its owner alone.
  COFFER_TRY(db::Database tree, db::Database::open(folder.tree(), {.sync = db::Sync::full, .disk = folder.disk}));
  COFFER_TRY(db::Statement vacuum, tree.prepare("VACUUM INTO ?"));
  return vacuum.bind(1, std::string_view(copy)).run();
}

}  // namespace

Result<void> keep_and_rebase(const VaultFolder& folder,
                             const std::function<meta::Remains(const object::ChunkId&)>& remains, bool give_up_lost) {
  COFFER_DO(keep_old_tree(folder));
  return meta::rebase(folder.tree(), folder.server_tree(), remains, give_up_lost, *folder.disk);
}

/// A vault is opened for it, so that what was being batched is sealed, and closed again before the tree is changed.
class Recovery {
 public:
  Recovery(const VaultFolder& folder, const RecoveryRequest& request)
      : folder_(folder), request_(request), server_tree_{folder} {}

  Result<RecoveryReport> run(const KeySource& key) {
    COFFER_DO(look(key));
    if (!report_.is_needed || !request_.send_again) return std::move(report_);
    if (!report_.divergence.is_prefix()) {
      return Error{Fault::refused, ESTALE,
                   describe(report_.divergence) +
                       ". What both sides wrote cannot be joined: mount the vault (it is read-only), copy out what is "
                       "needed, then run `coffer recover --take-server`, and copy it in again"};
    }
    if (!report_.lost_paths.empty() && !request_.give_up_lost) {
      return Error{Fault::refused, ENODATA,
                   "the content of " + std::to_string(report_.lost_paths.size()) +
                       " files is neither here nor on the server (`coffer recover` names them): add --give-up-lost to "
                       "go on without it"};
    }
    COFFER_DO(send_again());
    report_.is_done = true;
    return std::move(report_);
  }

 private:
  Result<void> look(const KeySource& key) {
    Options options;
    options.read_only = true;
    COFFER_TRY(const std::unique_ptr<Vault> vault, Vault::open(folder_, options, key));
    Vault::Parts& parts = *vault->parts_;
    COFFER_DO(parts.client->wait_online(steady_clock::now() + kAskDeadline));
    parts.log_watch->stop();  // It would use the same file.
    COFFER_DO(replay_log(folder_, *parts.sealer, *parts.client, steady_clock::now() + kReplayDeadline));
    COFFER_TRY(report_.divergence, meta::find_divergence(folder_.tree(), folder_.server_tree(),
                                                         std::numeric_limits<std::size_t>::max(), *folder_.disk));
    const meta::Divergence& found = report_.divergence;
    // A server that is ahead of an honest past is what every follower sees.
    report_.is_needed = !(found.last_common == found.seen.seq || (found.seen.seq == 0));
    if (!report_.is_needed) return {};
    COFFER_DO(find_remains(parts));
    return vault->close();
  }

  Result<void> find_remains(Vault::Parts& parts) {
    COFFER_TRY(const std::vector<ChunkRow> chunks,
               meta::chunks_beyond(folder_.tree(), folder_.server_tree(), *folder_.disk));
    std::vector<ChunkKey> lost;
    for (std::size_t from = 0; from < chunks.size(); from += kIdsAtOnce) {
      const std::size_t end = std::min(chunks.size(), from + kIdsAtOnce);
      std::vector<object::ChunkId> ids;
      for (std::size_t i = from; i < end; ++i) ids.push_back(chunks[i].id);
      COFFER_TRY(const std::vector<rpc::HaveState> states, rpc::wait<std::vector<rpc::HaveState>>([&](auto done) {
                   parts.client->have(ids, steady_clock::now() + kAskDeadline, std::move(done));
                 }));
      if (states.size() != ids.size()) return Error{Fault::protocol, 0, "have: an answer of another length"};
      for (std::size_t i = 0; i < ids.size(); ++i) {
        // Read, not only looked for: what is damaged here is no copy.
        const bool is_here = !states[i].stored && parts.spool->get(ids[i]).has_value();
        remains_[ids[i]] = states[i].stored ? meta::Remains::stored
                           : is_here        ? meta::Remains::spooled
                                            : meta::Remains::nowhere;
        if (is_here) ++report_.chunks_to_send;
        if (remains_[ids[i]] == meta::Remains::nowhere) lost.push_back(chunks[from + i].key);
      }
    }
    if (lost.empty()) return {};
    COFFER_TRY(report_.lost_paths, meta::paths_using(folder_.tree(), lost, *folder_.disk));
    return {};
  }

  Result<void> send_again() {
    COFFER_TRY(const FolderLock lock, FolderLock::take(folder_, ""));
    const auto remains = [this](const object::ChunkId& id) {
      const auto found = remains_.find(id);
      return found == remains_.end() ? meta::Remains::nowhere : found->second;
    };
    COFFER_DO(keep_and_rebase(folder_, remains, request_.give_up_lost));
    log::info("log_rebased", {{"server_seq", report_.divergence.server.seq},
                              {"seen_seq", report_.divergence.seen.seq},
                              {"paths", report_.divergence.path_count},
                              {"lost", report_.lost_paths.size()}});
    return {};
  }

  const VaultFolder& folder_;
  const RecoveryRequest& request_;
  const ServerTree server_tree_;
  RecoveryReport report_;
  std::map<object::ChunkId, meta::Remains> remains_;
};

Result<RecoveryReport> recover(const VaultFolder& folder, const KeySource& key, const RecoveryRequest& request) {
  if (!os::is_there(*folder.disk, folder.tree())) return RecoveryReport();
  return Recovery(folder, request).run(key);
}

}  // namespace coffer::vault
