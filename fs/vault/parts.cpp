#include "fs/vault/parts.h"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <functional>
#include <thread>
#include <utility>

#include "common/base/log.h"
#include "common/os/disk.h"
#include "common/os/paths.h"
#include "common/os/random.h"
#include "fs/keys/vault_key.h"
#include "fs/vault/quota.h"
#include "fs/vault/tree_load.h"

namespace coffer::vault {

namespace {

using std::chrono::steady_clock;
using namespace std::chrono_literals;

// A server that is up answers within a round trip or two; without it the mount goes on with the tree it has.
constexpr auto kFirstTry = 1s;
/// What nobody waits for is sent after as long as small content waits for its neighbours.
constexpr auto kSoon = 1s;
constexpr auto kConnectDeadline = 5s;
constexpr auto kCatchUpDeadline = 10min;
constexpr auto kLoadDeadline = 10min;
constexpr auto kAskDeadline = 20s;
constexpr auto kReleaseDeadline = 3s;
constexpr auto kPartingTime = 5s;

/// Rings once, on a thread of its own, unless it is destroyed before; the destructor waits while it rings.
class Alarm {
 public:
  Alarm(std::chrono::milliseconds after, std::function<void()> ring)
      : thread_([this, at = steady_clock::now() + after, ring = std::move(ring)] {
          {
            const MutexLock lock(mutex_);
            while (!is_off_ && steady_clock::now() < at) changed_.wait_until(mutex_, at);
            if (is_off_) return;
          }
          ring();
        }) {}
  ~Alarm() {
    {
      const MutexLock lock(mutex_);
      is_off_ = true;
    }
    changed_.notify_all();
    thread_.join();
  }
  Alarm(const Alarm&) = delete;
  Alarm& operator=(const Alarm&) = delete;

 private:
  Mutex mutex_;
  Condition changed_;
  bool is_off_ GUARDED_BY(mutex_) = false;
  std::thread thread_;
};

}  // namespace

Vault::Parts::Parts(VaultFolder folder_of, VaultSettings settings_of, Options options_of, FolderLock lock_of)
    : folder(std::move(folder_of)),
      settings(std::move(settings_of)),
      options(std::move(options_of)),
      lock(std::move(lock_of)),
      read_only_(options.read_only) {}

Vault::Parts::~Parts() { (void)close(); }

// Bottom up: each station is given those that it stands on.
Result<void> Vault::Parts::build(const KeySource& key_source) {
  has_tree_ = os::is_there(*folder.disk, folder.tree());
  (void)::unlink(folder.cleared_tree().c_str());  // A clear was cut off.
  COFFER_DO(connect());
  COFFER_TRY(const keys::VaultKey key, open_key(key_source));
  COFFER_DO(open_stations(key));
  COFFER_DO(reach_head());
  if (!read_only_) COFFER_DO(own_new_root());

  files::FileSystemOptions file_options = options.files;
  file_options.read_only = read_only_;
  file_system = std::make_unique<files::FileSystem>(*tree, *committer, *fetcher, *this, os::real_clock(), file_options);
  for (const ChunkRow& chunk : committer->lost_chunks()) {
    chunk_failed(chunk, Error{Fault::corrupt, EIO,
                              "a part of the content is lost on this machine, and the server does not have it: write "
                              "the file again"});
  }
  is_running_ = true;
  if (read_only_) {
    follower->start();
  } else {
    uploader->start();
    lease->start();
    link_changed();
  }
  return {};
}

// Else whoever is not root could write nothing into his own vault: the kernel goes by the root folder's mode.
Result<void> Vault::Parts::own_new_root() {
  COFFER_TRY(const Attributes root, tree->attributes(kRootInode));
  if (::geteuid() == 0 || root.ctime_ns != 0) return {};
  meta::AttributeChange owner;
  owner.uid = ::geteuid();
  owner.gid = ::getegid();
  COFFER_TRY([[maybe_unused]] const Attributes changed, tree->change(kRootInode, owner));
  return {};
}

Result<void> Vault::Parts::connect() {
  client = std::make_unique<rpc::Client>(client_options(folder, settings), os::real_random());
  client->on_link_change([this](rpc::Link) { link_changed(); });
  client->start();
  const auto deadline = steady_clock::now() + kConnectDeadline;
  Result<void> online = client->wait_online(std::min(deadline, steady_clock::now() + kFirstTry));
  // Where an attempt has failed already, as with a port on which nobody listens, more patience changes nothing.
  if (!online && client->link() == rpc::Link::connecting) online = client->wait_online(deadline);
  is_online_at_open_ = online.has_value();
  if (!online && !has_tree_) {
    return std::move(Error(online.error()))
        .in("there is no local tree yet, and the server " + settings.server.host + " is needed for it");
  }
  return {};
}

Result<keys::VaultKey> Vault::Parts::open_key(const KeySource& key_source) {
  if (is_online_at_open_) {
    Result<std::vector<rpc::KeySlot>> slots = rpc::wait<std::vector<rpc::KeySlot>>(
        [&](auto done) { client->get_key_slots(steady_clock::now() + kAskDeadline, std::move(done)); });
    std::vector<Bytes> fresh;
    if (!slots) log::warn("key_slots_not_fetched", {{"why", slots.error().what}});
    if (slots) {
      for (rpc::KeySlot& slot : *slots) fresh.push_back(std::move(slot.slot));
      settle_removals(settings.key_slots, settings.removing_slots, fresh);
    }
    settings.key_slots = joined_slots(settings.key_slots, fresh);
  }
  const std::optional<rpc::ServerFacts> facts = client->facts();
  if (facts && !settings.receipt_key) settings.receipt_key = facts->receipt_key;
  if (!options.mountpoint.empty()) settings.mountpoint = options.mountpoint;
  COFFER_TRY(keys::VaultKey key, open_slots(settings.key_slots, settings.id, key_source));
  COFFER_DO(write_settings(folder, settings));
  return key;
}

// Where it fails, the log is followed as ever, into a tree that keeps what it has: on a slow link the next mount goes
// on with it. What is wrong with the log is said there.
void Vault::Parts::load_tree_of_vault() {
  if (has_tree_ || !is_online_at_open_) return;
  const std::optional<rpc::ServerFacts> facts = client->facts();
  const bool has_log = facts && std::ranges::any_of(facts->vaults, [this](const rpc::VaultState& vault) {
                         return vault.id == settings.id && vault.head_seq > 0;
                       });
  if (!has_log) return;
  const Result<void> loaded =
      load_tree(folder.tree(), *folder.disk, *sealer, *client, steady_clock::now() + kLoadDeadline);
  if (!loaded) log::warn("tree_not_loaded", {{"why", loaded.error().what}});
}

Result<void> Vault::Parts::open_stations(const keys::VaultKey& key) {
  os::Disk& disk = *folder.disk;
  os::Random& random = os::real_random();
  os::Clock& clock = os::real_clock();
  chunker_key = key.derive(keys::kChunkerLabel, settings.id);
  pieces.emplace(key.derive(keys::kPieceLabel, settings.id));
  sealer = std::make_unique<seal::Sealer>(key, settings.id, random, options.compression);
  load_tree_of_vault();
  Result<std::unique_ptr<meta::Tree>> opened = meta::Tree::open(folder.tree(), clock, *this, disk);
  if (!opened && opened.error().fault == Fault::corrupt) {
    return std::move(opened).error().in("the local tree is damaged; `coffer check` says what to do");
  }
  COFFER_TRY(tree, std::move(opened));

  COFFER_DO(disk.make_folder(folder.spool()));
  spool::SpoolOptions spool_options;
  spool_options.bytes_max = options.cache_bytes;
  if (options.cache_bytes == 0) {
    COFFER_TRY(spool_options.bytes_max, spool::default_bytes_max(disk, folder.spool()));
  }
  spool_options.settle_tree = [this] { return tree->power_safe(); };
  spool_options.on_failure = [this](const Error& error) { disk_failure_.note(error); };
  COFFER_TRY(spool, spool::Spool::open(disk, folder.spool(), spool_options,
                                       [this](const object::ChunkId& id) -> Result<spool::Standing> {
                                         COFFER_TRY(const std::optional<ChunkRow> row, tree->chunk_by_id(id));
                                         if (!row) return spool::Standing::unknown;
                                         return row->state == ChunkState::spooled ? spool::Standing::owed
                                                                                  : spool::Standing::cached;
                                       }));
  COFFER_TRY(staging,
             spool::Staging::open(disk, folder.staging(), key.derive(keys::kStagingLabel, settings.id), random));

  commit::CommitterOptions commit_options;
  commit_options.full_wait = options.full_wait;
  committer = std::make_unique<commit::Committer>(
      commit::Parts{*tree, *spool, *staging, *sealer, *chunker_key, *pieces, clock}, commit_options);
  committer->on_owed([this](commit::Hurry hurry) {
    if (is_running_) hurry == commit::Hurry::now ? uploader->wake() : uploader->wake_within(kSoon);
  });
  source = std::make_unique<fetch::RpcChunkSource>(*client);
  fetcher = std::make_unique<fetch::Fetcher>(fetch::Parts{*tree, *spool, *committer, *sealer, *source},
                                             fetch::FetcherOptions{});
  remote = std::make_unique<upload::RpcRemote>(*client);
  uploader = std::make_unique<upload::Uploader>(
      upload::Parts{*tree, *spool, *sealer, *remote, settings.id, settings.receipt_key},
      upload::Hooks{[this] { return committer->flush_all(); }, [this] { return committer->seal_open_chunks(); },
                    [this](const Error&) { lease->doubt(); },
                    [this](const ChunkRow& chunk, const std::optional<Error>& error) { chunk_failed(chunk, error); },
                    [this](InodeId inode) { return failure_of(inode); }});
  follow_the_log();
  COFFER_DO(committer->start());
  fetcher->start();
  healer->start();
  return {};
}

// Those that listen to the server: to what it lacks, to its log, and to who may write.
void Vault::Parts::follow_the_log() {
  healer = std::make_unique<upload::Healer>(*spool, *remote);
  log_watch = std::make_unique<LogWatch>(folder, *sealer, *client);
  follower = std::make_unique<Follower>(
      *tree, *sealer, *client,
      FollowerHooks{
          [this](const meta::Changed& changed) { tree_changed(changed); }, [this](const Error& why) { alarmed(why); },
          [this](const rpc::VaultState& state) { server_said(state, uploader->progress()); }, [this] { keep_up(); }});
  lease = std::make_unique<Lease>(*client, LeaseHooks{[this](std::uint64_t epoch) { return lease_granted(epoch); },
                                                      [this](const std::optional<std::string>& why_lost) {
                                                        if (why_lost) {
                                                          fence(*why_lost);
                                                        } else {
                                                          uploader->set_epoch(std::nullopt);
                                                        }
                                                      },
                                                      [this] {
                                                        file_system->bring_all();
                                                        is_refused_ = true;
                                                      },
                                                      [this] { keep_up(); }});
}

// The tree as the server has it, and the right to change it.
Result<void> Vault::Parts::reach_head() {
  if (!is_online_at_open_) return {};
  const auto deadline = steady_clock::now() + kCatchUpDeadline;
  if (!read_only_) {
    const std::optional<rpc::ServerFacts> facts = client->facts();
    for (const rpc::VaultState& vault : facts ? facts->vaults : std::vector<rpc::VaultState>{}) {
      if (vault.id == settings.id) read_only_ = vault.read_only;
    }
  }
  Result<void> reached;
  COFFER_TRY(const meta::Owed owed, tree->owed());
  if (!read_only_ && !owed.nothing()) {
    // Where another wrote meanwhile, what is owed here can never be sent: the lease is left to who can use it.
    reached = follower->catch_up(deadline);
    if (!reached && reached.error().fault != Fault::offline) lease->lose(reached.error().what);
  }
  if (lease->state() == LeaseState::lost) {
    read_only_ = true;
  } else if (!read_only_) {
    reached = lease->acquire(options.force_lease, steady_clock::now() + kAskDeadline);
    const LeaseState state = lease->state();
    if (state == LeaseState::denied || state == LeaseState::lost) read_only_ = true;
    if (state == LeaseState::denied) log::warn("read_only", {{"writer", lease->holder()}});
    if (state == LeaseState::denied || (reached && state == LeaseState::lost)) reached = follower->catch_up(deadline);
  } else {
    reached = follower->catch_up(deadline);
    keep_up();
  }
  if (reached) return {};
  if (!has_tree_) return reached;
  // What is here can still be read; what went wrong stands in the status.
  log::error("head_not_reached", {{"why", reached.error().what}});
  if (reached.error().fault == Fault::corrupt || reached.error().fault == Fault::refused) {
    read_only_ = true;
    const MutexLock guard(mutex_);
    alarm_ = reached.error().what;
  }
  return {};
}

// On the lease's thread, or on that of open().
Result<void> Vault::Parts::lease_granted(std::uint64_t epoch) {
  COFFER_DO(follower->catch_up(steady_clock::now() + kCatchUpDeadline));
  if (changed_while_open_) {
    return Error{Fault::refused, EROFS,
                 "another client changed a file that is open here: close it, then unmount and mount again"};
  }
  COFFER_DO(tree->take_over());
  uploader->set_epoch(epoch);
  keep_up();
  return {};
}

// A kernel that writes back trusts its own size of a file for as long as it knows the file: without names it forgets
// those that nobody has open. invalidate_ waits for the kernel, which may wait for us: no lock is held.
void Vault::Parts::tree_changed(meta::Changed changed) {
  const bool writes_back = !read_only_ && file_system;
  for (std::size_t i = 0; writes_back && i < changed.inodes.size(); ++i) {
    const Result<Attributes> now = tree->attributes(changed.inodes[i]);
    if (!now || !S_ISREG(now->mode)) continue;
    if (Result<std::vector<std::pair<InodeId, std::string>>> names = tree->names_of(changed.inodes[i])) {
      changed.names.insert(changed.names.end(), names->begin(), names->end());
    }
  }
  Invalidate invalidate;
  {
    const MutexLock guard(mutex_);
    invalidate = invalidate_;
  }
  if (invalidate) invalidate(changed);
  const auto is_open = [this](InodeId inode) { return file_system->is_open(inode); };
  if (writes_back && std::ranges::any_of(changed.inodes, is_open)) changed_while_open_ = true;
}

// What is asked of the server now and then while the lease is kept.
void Vault::Parts::keep_up() {
  const upload::Progress then = uploader->progress();
  const Result<meta::Head> seen = tree->head();
  Result<rpc::VaultState> state =
      rpc::wait<rpc::VaultState>([&](auto done) { client->ping(steady_clock::now() + kAskDeadline, std::move(done)); });
  if (state && seen) {
    if (const std::optional<Error> alarm = alarm_of(*seen, *state)) return alarmed(*alarm);
  }
  if (state) server_said(*state, then);
  if (!is_certificate_due(folder, os::real_clock())) return;
  if (const Result<void> renewed = renew_certificate(folder, settings, *client); !renewed) {
    log::warn("certificate_not_renewed", {{"why", renewed.error().what}});
  }
}

// Programs were told that what the kernel holds of open files is written: it is kept before nothing more is accepted.
void Vault::Parts::fence(const std::string& why) {
  uploader->give_up({Fault::refused, EROFS, why});
  if (file_system) file_system->bring_all();
  is_fenced_ = true;
}

void Vault::Parts::chunk_failed(const ChunkRow& chunk, const std::optional<Error>& error) {
  std::vector<InodeId> inodes;
  if (error) {
    Result<std::vector<InodeId>> users = tree->users_of(chunk.key);
    if (!users) return log::error("failed_chunk_unknown", {{"why", users.error().what}});
    inodes = *std::move(users);
  }
  {
    const MutexLock guard(mutex_);
    if (error) {
      failed_chunks_.insert_or_assign(chunk.key, FailedChunk{chunk.id, *error, inodes});
    } else {
      auto resolved = failed_chunks_.extract(chunk.key);
      if (resolved.empty()) return;
      inodes = std::move(resolved.mapped().inodes);
      for (const auto& [key, failed] : failed_chunks_) {
        const std::vector<InodeId>& others = failed.inodes;  // clang 14 captures no structured binding.
        std::erase_if(inodes, [&](InodeId inode) { return std::ranges::find(others, inode) != others.end(); });
      }
    }
  }
  for (const InodeId inode : inodes) file_system->set_upload_failure(inode, error);
}

std::optional<Error> Vault::Parts::failure_of(InodeId inode) {
  if (inode != InodeId()) return file_system->upload_failure(inode);
  const MutexLock guard(mutex_);
  if (failed_chunks_.empty()) return std::nullopt;
  return failed_chunks_.begin()->second.why;
}

void Vault::Parts::server_said(const rpc::VaultState& state, const upload::Progress& then) {
  log_watch->clear();
  healer->asked_for(state.wanted);
  count_changes();
  const MutexLock guard(mutex_);
  server_state_ = state;
  sent_then_ = counted_bytes(then);
}

// The server is not believed any more: all that is here stays as it is, and can be read.
void Vault::Parts::alarmed(const Error& why) {
  log_watch->raise(why);
  healer->forbid();
  lease->give_up(why.what);
}

// On the network thread. A hello tells where the log ends: before anything more is sent over the new connection, the
// lease is asked for again, and the log read, where that cannot be.
bool Vault::Parts::is_log_known() {
  const std::optional<rpc::ServerFacts> facts = client->facts();
  const Result<meta::Head> seen = tree->head();
  if (!facts || !seen) return true;
  return std::ranges::none_of(facts->vaults, [&](const rpc::VaultState& vault) {
    return vault.id == settings.id && alarm_of(*seen, vault).has_value();
  });
}

void Vault::Parts::link_changed() {
  if (!is_running_) return;
  if (client->link() == rpc::Link::online) is_refused_ = false;
  if (client->link() == rpc::Link::online && !is_log_known()) lease->doubt();
  if (client->link() == rpc::Link::refused) {
    lease->doubt();
    uploader->give_up({Fault::refused, EACCES, "the server refuses this client: " + client->why()});
  }
  uploader->link_changed();
  lease->link_changed();
}

// Top down. Where the server answers, what is on its way may arrive, and the lease is given back; where it does not,
// the client is stopped first, so that nobody waits for it. A server that fell silent is noticed late: kPartingTime is
// all that those wait who wait for its answers, and stopping the client ends them.
Result<void> Vault::Parts::close() {
  if (std::exchange(is_closed_, true)) return {};
  Result<void> flushed;
  if (file_system && !read_only_) flushed = file_system->flush_all();
  is_running_ = false;
  if (client && client->link() != rpc::Link::online) client->stop();
  {
    const Alarm parting(kPartingTime, [this] {
      if (client) client->stop();
    });
    if (uploader) uploader->stop();
    if (lease) {
      lease->stop();
      lease->release(steady_clock::now() + kReleaseDeadline);
    }
  }
  if (client) client->stop();
  if (healer) healer->stop();
  if (log_watch) log_watch->stop();
  if (follower) follower->stop();
  if (fetcher) fetcher->stop();
  if (committer) committer->stop();
  return flushed;
}

bool Vault::Parts::is_read_only() const { return read_only_; }

void Vault::Parts::on_changed(Invalidate invalidate) {
  const MutexLock guard(mutex_);
  invalidate_ = std::move(invalidate);
}

void Vault::Parts::chunk_dropped(const ChunkRow& chunk) {
  if (committer) committer->chunk_dropped(chunk);  // Before there is one, Spool::open() and start() drop it.
  if (is_running_) chunk_failed(chunk, std::nullopt);
}

void Vault::Parts::changed() {
  if (is_running_) uploader->wake_commits();  // Chunks: by the committer.
}

Result<void> Vault::Parts::wait_committed(InodeId inode, os::SteadyTime deadline, std::stop_token stop) {
  return uploader->wait_committed(inode, deadline, std::move(stop));
}

Result<void> Vault::Parts::wait_all_committed(os::SteadyTime deadline, std::stop_token stop) {
  return uploader->wait_all_committed(deadline, std::move(stop));
}

Result<void> Vault::Parts::make_power_safe() { return committer->make_power_safe(); }

// Of what cannot be sent, that which is not here either.
std::optional<Error> Vault::Parts::lost_content(InodeId inode) {
  std::vector<std::pair<object::ChunkId, Error>> failed;
  {
    const MutexLock guard(mutex_);
    for (const auto& [key, chunk] : failed_chunks_) {
      if (std::ranges::find(chunk.inodes, inode) != chunk.inodes.end()) failed.emplace_back(chunk.id, chunk.why);
    }
  }
  for (auto& [id, why] : failed) {
    if (!spool->get(id)) return std::move(why);
  }
  return std::nullopt;
}

Result<void> Vault::Parts::clear_spool() {
  COFFER_TRY(const meta::Owed owed, tree->owed());
  if (!owed.nothing()) {
    return Error{Fault::refused, EBUSY, "the spool holds what the server does not have yet: run `coffer sync` first"};
  }
  COFFER_DO(spool->clear());
  fetcher->forget_decoded();
  return {};
}

}  // namespace coffer::vault
