#include "tests/power/vault/world.h"

#include <cerrno>
#include <map>
#include <utility>

#include "common/crypto/hash.h"
#include "common/os/clock.h"

namespace coffer::power {
namespace {

using std::chrono::steady_clock;
using namespace std::chrono_literals;

const object::VaultId kVault{};
const object::ClientId kClient{};
constexpr auto kWait = 20ms;
constexpr int kWaits = 500;

}  // namespace

// ---- the server ------------------------------------------------------------------------------------------------

Result<void> World::Server::open() {
  COFFER_DO(disk_.make_folder("/srv/vault/packs"));
  COFFER_TRY(chunks_, store::PackChunkStore::open(disk_, "/srv/vault/packs", {}, writers_));
  COFFER_TRY(log_, oplog::OpLog::open("/srv/vault/oplog.db", kVault, key_, os::real_clock(), disk_));
  return disk_.sync_folder("/srv/vault");
}

void World::Server::close() {
  if (chunks_) chunks_->close();
}

void World::Server::have(std::vector<object::ChunkId> ids, rpc::Deadline, rpc::Done<std::vector<rpc::HaveState>> done) {
  std::vector<rpc::HaveState> states;
  for (const object::ChunkId& id : ids) {
    const Result<store::Held> held = chunks_->find(id);
    if (!held) return done(Error(held.error()));
    states.push_back({held->received, held->stored});
  }
  done(std::move(states));
}

void World::Server::put_chunk(const object::ChunkId& id, std::shared_ptr<const Bytes> sealed, std::uint64_t,
                              rpc::Deadline, rpc::Done<rpc::PutChunkDone> done) {
  chunks_->put(id, std::move(sealed), [done = std::move(done)](Result<store::PutDone> put) {
    if (!put) return done(std::move(put).error());
    done(rpc::PutChunkDone{put->was_stored});
  });
}

void World::Server::append_commit(Bytes commit, std::vector<std::shared_ptr<const Bytes>> carried, rpc::Deadline,
                                  rpc::Done<object::Receipt> done) {
  if (loses_commits) return done(Error{Fault::offline, ETIMEDOUT, "the connection broke"});
  // As server/service does it.
  std::map<object::ChunkId, std::shared_ptr<const Bytes>> chunks;
  for (auto& chunk : carried) {
    const object::ChunkId id(crypto::sha256(*chunk));
    chunks.emplace(id, std::move(chunk));
  }
  const auto is_stored = [&](const object::ChunkId& id) -> Result<bool> {
    COFFER_TRY(const store::Held held, chunks_->find(id));
    const auto found = chunks.find(id);
    if (held.stored || found == chunks.end()) return held.stored;
    COFFER_TRY([[maybe_unused]] const store::PutDone put,
               rpc::wait<store::PutDone>([&](auto put_done) { chunks_->put(id, found->second, std::move(put_done)); }));
    return true;
  };
  carried_count += carried.size();
  const Result<Bytes> receipt = log_->append(commit, kClient, is_stored);
  if (!receipt) return done(Error(receipt.error()));
  done(object::decode_receipt(*receipt));
}

void World::Server::get_chunk(const object::ChunkId& id, os::SteadyTime, std::function<void(Result<Bytes>)> done) {
  if (is_away) return done(Error{Fault::offline, ETIMEDOUT, "away"});
  const Result<store::Held> held = chunks_->find(id);
  if (!held) return done(Error(held.error()));
  Result<Bytes> bytes = chunks_->read_range(id, 0, held->received);
  if (bytes && object::ChunkId(crypto::sha256(*bytes)) != id)
    return done(Error{Fault::corrupt, 0, "chunk does not match its id"});
  done(std::move(bytes));
}

// ---- the client ------------------------------------------------------------------------------------------------

World::Client::Client(SimDisk& disk, Server& server, const keys::VaultKey& key)
    : disk_(disk),
      server_(server),
      random_(3),
      key_(key),
      chunker_key_(key.derive(keys::kChunkerLabel, kVault)),
      pieces_(key.derive(keys::kPieceLabel, kVault)),
      sealer_(key, kVault, os::real_random(), *seal::parse_compression("none")) {}

Result<void> World::Client::open() {
  COFFER_DO(disk_.make_folder("/home/coffer/vaults/v"));
  COFFER_TRY(tree, meta::Tree::open("/home/coffer/vaults/v/tree.db", os::real_clock(), *this, disk_));
  spool::SpoolOptions options{.bytes_max = 4u << 20, .pack_bytes_max = 256u << 10, .disk_bytes_spared = 0};
  options.settle_tree = [this] { return tree->power_safe(); };
  COFFER_TRY(spool, spool::Spool::open(disk_, "/home/coffer/vaults/v/spool", options,
                                       [this](const object::ChunkId& id) -> Result<spool::Standing> {
                                         COFFER_TRY(const std::optional<ChunkRow> row, tree->chunk_by_id(id));
                                         if (!row) return spool::Standing::unknown;
                                         return row->state == ChunkState::spooled ? spool::Standing::owed
                                                                                  : spool::Standing::cached;
                                       }));
  COFFER_TRY(staging, spool::Staging::open(disk_, "/home/coffer/vaults/v/staging",
                                           key_.derive(keys::kStagingLabel, kVault), os::real_random()));
  committer = std::make_unique<commit::Committer>(
      commit::Parts{*tree, *spool, *staging, sealer_, chunker_key_, pieces_, os::real_clock()},
      commit::CommitterOptions{.open_chunk_delay = 1h, .full_wait = 1s, .sealing_threads = 1});
  fetcher = std::make_unique<fetch::Fetcher>(fetch::Parts{*tree, *spool, *committer, sealer_, server_},
                                             fetch::FetcherOptions{});
  uploader = std::make_unique<upload::Uploader>(
      upload::Parts{*tree, *spool, sealer_, server_, kVault},
      upload::Hooks{[this] { return committer->flush_all(); }, [this] { return committer->seal_open_chunks(); },
                    [](const Error&) {}});
  committer->on_owed([this](commit::Hurry hurry) {
    if (is_running_) hurry == commit::Hurry::now ? uploader->wake() : uploader->wake_within(std::chrono::seconds(1));
  });
  COFFER_DO(committer->start());
  fetcher->start();
  return {};
}

Result<void> World::Client::catch_up() {
  COFFER_TRY(const meta::Head head, tree->head());
  COFFER_TRY(const oplog::Page page, server_.log().read(head.seq + 1, 1u << 30));
  if (page.head.seq < head.seq) return Error{Fault::corrupt, 0, "the server's log went back"};
  for (const Bytes& bytes : page.commits) {
    COFFER_TRY(const object::Commit commit, object::decode_commit(bytes));
    const object::CommitHash hash = object::hash_of(bytes);
    COFFER_TRY(const std::optional<Bytes> pending, tree->pending_commit());
    if (pending && object::hash_of(*pending) == hash) {
      COFFER_DO(tree->commit_done(commit.seq, hash));
      continue;
    }
    COFFER_TRY(const Bytes payload, sealer_.open_payload(commit, seal::kPayloadPlainBytesMax));
    COFFER_DO(tree->apply(commit, payload, hash));  // Refused while other changes are owed: a false fork.
  }
  return {};
}

Result<void> World::Client::replay(const std::string& path, std::uint64_t commits) {
  class NobodyListens : public meta::TreeEvents {
    void chunk_dropped(const ChunkRow&) override {}
  } events;
  COFFER_TRY(const auto other, meta::Tree::open(path, os::real_clock(), events, disk_));
  COFFER_TRY(const oplog::Page page, server_.log().read(1, 1u << 30));
  for (const Bytes& bytes : page.commits) {
    COFFER_TRY(const object::Commit commit, object::decode_commit(bytes));
    if (commit.seq > commits) break;
    COFFER_TRY(const Bytes payload, sealer_.open_payload(commit, seal::kPayloadPlainBytesMax));
    COFFER_DO(other->apply(commit, payload, object::hash_of(bytes)));
  }
  return {};
}

void World::Client::start_upload(std::uint64_t epoch) {
  is_running_ = true;
  uploader->start();
  uploader->set_epoch(epoch);
  uploader->link_changed();
}

void World::Client::close() {
  is_running_ = false;
  if (uploader) uploader->stop();
  if (fetcher) fetcher->stop();
  if (committer) committer->stop();
  uploader.reset();
  fetcher.reset();
  committer.reset();
  staging.reset();
  spool.reset();
  tree.reset();
}

void World::Client::chunk_dropped(const ChunkRow& chunk) {
  if (committer) committer->chunk_dropped(chunk);
}

void World::Client::changed() {
  if (is_running_) uploader->wake_commits();
}

Result<InodeId> World::Client::create(const std::string& name) {
  meta::NewInode file;
  file.mode = S_IFREG | 0644;
  COFFER_TRY(const Attributes made, tree->create(kRootInode, name, file));
  return made.inode;
}

/// As write(2) and close(2).
Result<void> World::Client::write(InodeId inode, std::uint64_t at, ByteView bytes) {
  COFFER_DO(committer->write(inode, FileOffset(at), bytes));
  // As close(2) does it, and as fsync(2).
  if (++writes_ % 2 == 0) written_.insert(inode);
  COFFER_DO(committer->flush(inode, writes_ % 2 == 0 ? commit::Last::sealed : commit::Last::batched));
  return {};
}

Result<void> World::Client::truncate(InodeId inode, std::uint64_t bytes) {
  meta::AttributeChange change;
  change.bytes = bytes;
  COFFER_DO(committer->change(inode, change));
  return {};
}

Result<void> World::Client::rename(const std::string& from, const std::string& to) {
  return tree->rename(kRootInode, from, kRootInode, to, meta::RenameMode::replace);
}

Result<void> World::Client::unlink(const std::string& name) { return tree->unlink(kRootInode, name); }

Result<void> World::Client::wait_committed() {
  Result<void> done;
  // First the files that are small enough to go along with their commit, then the barrier for all else.
  for (const InodeId inode : std::exchange(written_, {})) {
    for (int i = 0; i < kWaits && !disk_.power_was_cut() && server_.online(); ++i) {
      done = uploader->wait_committed(inode, steady_clock::now() + kWait, {});
      if (done || done.error().fault == Fault::answer || server_.loses_commits) break;
    }
  }
  for (int i = 0; i < kWaits && !disk_.power_was_cut() && server_.online(); ++i) {
    done = uploader->wait_all_committed(steady_clock::now() + kWait, {});
    if (done) return done;
  }
  if (done) done = Error{Fault::offline, ETIMEDOUT, "a power cut"};
  return done;
}

Result<Bytes> World::Client::read(const std::string& name) {
  COFFER_TRY(const Attributes found, tree->lookup(kRootInode, name));
  COFFER_TRY(const Attributes attributes, committer->attributes(found.inode));
  Bytes into(attributes.bytes);
  COFFER_DO(fetcher->read(found.inode, FileOffset(0), into, steady_clock::now() + 5s));
  return into;
}

// ---- both ------------------------------------------------------------------------------------------------------

World::World(std::uint64_t seed)
    : server_disk(seed * 2),
      client_disk(seed * 2 + 1),
      random(seed),
      receipt_key_(crypto::SigningKey::generate(random)),
      key_(keys::VaultKey::generate(random)) {
  EXPECT_TRUE(server_disk.make_folder("/srv"));
  EXPECT_TRUE(client_disk.make_folder("/home"));
}

bool World::open_server() {
  server_ = std::make_unique<Server>(server_disk, receipt_key_);
  return server_->open().has_value();
}

Result<void> World::open_client() {
  client_ = std::make_unique<Client>(client_disk, *server_, key_);
  COFFER_DO(client_->open());
  COFFER_TRY(const oplog::Lease lease, server_->log().acquire_lease(kClient, true));
  COFFER_DO(client_->catch_up());
  client_->start_upload(lease.epoch);
  return {};
}

Result<std::unique_ptr<World::Client>> World::join(SimDisk& disk) {
  auto joined = std::make_unique<Client>(disk, *server_, key_);
  COFFER_DO(joined->open());
  COFFER_DO(joined->catch_up());
  return joined;
}

void World::die_client() { client_.reset(); }

void World::die() {
  die_client();
  server_.reset();
}

void World::lose_power() {
  client_disk.cut_power();
  server_disk.cut_power();
  die();
  client_disk.restart();
  server_disk.restart();
}

}  // namespace coffer::power
