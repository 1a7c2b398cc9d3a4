// The server's vaults and accounts under power cuts: server/README.md, "What a client may believe".
#include <algorithm>
#include <future>
#include <map>
#include <memory>

#include "common/crypto/hash.h"
#include "common/os/clock.h"
#include "server/accounts/accounts.h"
#include "server/service/vault_set.h"
#include "tests/power/cuts.h"
#include "tests/testing/seeded_random.h"

namespace coffer::power {
namespace {

using testing::SimDisk;

/// One vault of a server, used by one client, and what it was told.
class ServerScenario {
 public:
  ServerScenario(SimDisk& disk, std::uint64_t seed)
      : disk_(disk), random_(seed), key_(crypto::SigningKey::generate(random_)) {}

  bool open() {
    writers_ = std::make_unique<store::WriterPool>(1);
    vaults_ = std::make_unique<service::VaultSet>("/srv/coffer/vaults", disk_, key_, os::real_clock(), *writers_);
    auto vault = vaults_->open(vault_id_);
    auto accounts = accounts::Accounts::open("/srv/accounts.db", os::real_clock(), random_, disk_);
    if (!vault || !accounts) return false;
    vault_ = *std::move(vault);
    accounts_ = *std::move(accounts);
    return true;
  }
  void die() {
    if (vaults_) vaults_->close();
    vault_.reset();
    vaults_.reset();
    writers_.reset();  // Joins: it may have held the vault for a moment more.
    accounts_.reset();
  }

  void use() {
    enrol();
    put_slot();
    for (int round = 0; round < 3; ++round) {
      for (int i = 0; i < 2; ++i) put_chunk();
      commit();
    }
    for (int i = 0; i < 2; ++i) commit_with_chunks_along();
    put_slot();
    commit();
  }

  void expect_promises() {
    for (const object::ChunkId& id : stored_) expect_stored(id);
    const auto head = vault_->log->head();
    ASSERT_TRUE(head) << head.error().what;
    EXPECT_GE(head->seq, receipts_.size()) << "a commit with a receipt is gone";
    expect_log(head->seq);
    const auto slots = vault_->log->key_slots();
    ASSERT_TRUE(slots);
    for (const Bytes& slot : slots_) {
      EXPECT_TRUE(std::ranges::any_of(*slots, [&](const oplog::KeySlot& held) { return held.slot == slot; }));
    }
    for (const std::string& name : clients_) {
      const auto all = accounts_->clients();
      ASSERT_TRUE(all);
      EXPECT_TRUE(std::ranges::any_of(*all, [&](const accounts::Client& client) { return client.name == name; }));
    }
  }

  /// What a client hears after a restart counts like what it heard before.
  void ask() {
    for (const auto& [id, bytes] : chunks_) {
      const auto held = vault_->chunks->find(id);
      if (held && held->stored) stored_.push_back(id);
    }
  }

 private:
  void enrol() {
    const std::string name = "client" + std::to_string(clients_.size());
    crypto::Digest fingerprint{};
    random_.fill(fingerprint);
    std::array<std::byte, object::ClientId::kSize> id;
    random_.fill(id);
    const auto secret = accounts_->invite({.client_name = name, .vault = {}, .read_only = false, .quota_bytes = 0},
                                          std::chrono::hours(1));
    if (!secret) return;
    const accounts::Certificate certificate{.fingerprint = fingerprint, .serial = "1", .not_after_ns = 1};
    if (accounts_->enroll(*secret, object::ClientId(id), certificate, fingerprint)) clients_.push_back(name);
  }

  void put_slot() {
    const Bytes slot = random_.bytes(100);
    if (vault_->log->put_key_slot(slot, false)) slots_.push_back(slot);
  }

  void put_chunk() {
    const object::ChunkId id = new_chunk();
    auto bytes = std::make_shared<const Bytes>(chunks_.at(id));
    std::promise<Result<store::PutDone>> promise;
    vault_->chunks->put(id, bytes, [&](Result<store::PutDone> done) { promise.set_value(std::move(done)); });
    if (promise.get_future().get()) stored_.push_back(id);
  }

  object::ChunkId new_chunk() {
    Bytes bytes = random_.bytes(3000);
    const object::ChunkId id(crypto::sha256(bytes));
    chunks_[id] = std::move(bytes);
    return id;
  }

  /// As server/service does: chunks that are not here yet are written while the log is.
  void commit_with_chunks_along() {
    for (int i = 0; i < 2; ++i) new_chunk();
    std::vector<std::future<Result<store::PutDone>>> begun;
    const auto is_stored = [&](const object::ChunkId& id) -> Result<bool> {
      COFFER_TRY(const store::Held held, vault_->chunks->find(id));
      if (held.stored) return true;
      auto promise = std::make_shared<std::promise<Result<store::PutDone>>>();
      begun.push_back(promise->get_future());
      vault_->chunks->put(
          id, std::make_shared<const Bytes>(chunks_.at(id)),
          [promise](Result<store::PutDone> done) { promise->set_value(std::move(done)); },
          store::ChunkStore::Caller::goes_on);
      return true;
    };
    const auto settled = [&]() -> Result<void> {
      for (auto& stored : begun) COFFER_DO(stored.get());
      return {};
    };
    commit(is_stored, settled);
  }

  void commit() {
    commit(
        [&](const object::ChunkId& id) -> Result<bool> {
          COFFER_TRY(const store::Held held, vault_->chunks->find(id));
          return held.stored;
        },
        nullptr);
  }

  void commit(const oplog::IsStored& is_stored, const oplog::Settled& settled) {
    const auto lease = vault_->log->acquire_lease(client_, true);
    const auto head = vault_->log->head();
    if (!lease || !head) return;
    object::Commit commit;
    commit.vault = vault_id_;
    commit.seq = head->seq + 1;
    commit.previous = head->hash;
    commit.epoch = lease->epoch;
    for (const auto& [id, bytes] : chunks_) commit.added.push_back(id);
    commit.payload = random_.bytes(500);
    const auto receipt = vault_->log->append(object::encode(commit), client_, is_stored, oplog::kNoLogLimit, settled);
    if (receipt) receipts_.push_back(*receipt);
  }

  void expect_stored(const object::ChunkId& id) {
    const auto read = vault_->chunks->read_range(id, 0, chunks_.at(id).size());
    EXPECT_TRUE(read && *read == chunks_.at(id)) << "a chunk that was stored is gone";
  }

  /// Every commit follows the one before, and all that it adds is there.
  void expect_log(std::uint64_t end) {
    const auto page = vault_->log->read(1, 1u << 30);
    ASSERT_TRUE(page) << page.error().what;
    ASSERT_EQ(page->commits.size(), end);
    object::CommitHash previous;
    for (const Bytes& bytes : page->commits) {
      const auto commit = object::decode_commit(bytes);
      ASSERT_TRUE(commit);
      EXPECT_EQ(commit->previous, previous);
      previous = object::hash_of(bytes);
      for (const object::ChunkId& id : commit->added) expect_stored(id);
    }
    for (const Bytes& receipt : receipts_) {
      const auto decoded = object::decode_receipt(receipt);
      ASSERT_TRUE(decoded);
      EXPECT_EQ(object::hash_of(page->commits.at(decoded->seq - 1)), decoded->hash);
    }
  }

  SimDisk& disk_;
  testing::SeededRandom random_;
  const crypto::SigningKey key_;
  const object::VaultId vault_id_{};
  const object::ClientId client_{};
  std::unique_ptr<store::WriterPool> writers_;
  std::unique_ptr<service::VaultSet> vaults_;
  std::shared_ptr<service::OpenVault> vault_;
  std::unique_ptr<accounts::Accounts> accounts_;

  std::map<object::ChunkId, Bytes> chunks_;
  std::vector<object::ChunkId> stored_;
  std::vector<Bytes> receipts_, slots_;
  std::vector<std::string> clients_;
};

/// The folder of `cofferd init`.
void make_server_folder(SimDisk& disk) { ASSERT_TRUE(disk.make_folder("/srv")); }

// Claim: whenever the power goes, what was acknowledged is there: chunks, commits with their receipts and all chunks
// that they add, key slots, enrolled clients; also in a vault that is new, and also what `have` said after a restart.
TEST(AServer, KeepsWhatItAcknowledgedWheneverThePowerGoes) {
  cut_everywhere({.seeds = 1, .step = 5}, [](std::uint64_t call, std::uint64_t seed) {
    SimDisk disk(seed * 100'003 + call);
    make_server_folder(disk);
    ServerScenario scenario(disk, seed);
    disk.cut_power_at_call(call);
    if (scenario.open()) scenario.use();
    const bool was_cut = disk.power_was_cut();
    for (int again = 0; again < 2; ++again) {
      disk.cut_power();
      scenario.die();
      disk.restart();
      EXPECT_TRUE(scenario.open());
      if (::testing::Test::HasFailure()) return false;
      scenario.expect_promises();
      scenario.ask();
    }
    scenario.die();
    return was_cut;
  });
}

// Claim: where a sync fails, nothing is acknowledged that is not there, then or after the server was started again.
TEST(AServer, NeverBelievesASyncThatFailed) {
  fail_every_sync({.seeds = 1, .step = 2}, [](std::uint64_t sync, std::uint64_t seed) {
    SimDisk disk(seed * 100'003 + sync);
    make_server_folder(disk);
    ServerScenario scenario(disk, seed);
    disk.fail_sync(sync);
    if (scenario.open()) scenario.use();
    const bool has_failed = disk.sync_has_failed();
    scenario.die();
    disk.restart();  // The process alone.
    EXPECT_TRUE(scenario.open());
    if (::testing::Test::HasFailure()) return false;
    scenario.expect_promises();
    scenario.ask();
    scenario.use();
    disk.cut_power();
    scenario.die();
    disk.restart();
    EXPECT_TRUE(scenario.open());
    if (::testing::Test::HasFailure()) return false;
    scenario.expect_promises();
    scenario.die();
    return has_failed;
  });
}

}  // namespace
}  // namespace coffer::power
