// A whole server in this process, made by the commands that a person types, and real clients of it on loopback.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <filesystem>
#include <memory>
#include <thread>

#include "common/crypto/hash.h"
#include "common/os/clock.h"
#include "common/os/disk.h"
#include "common/os/random.h"
#include "net/rpc/client.h"
#include "net/tls/certificate.h"
#include "server/accounts/accounts.h"
#include "server/admin/commands.h"
#include "server/admin/running_server.h"
#include "server/store/chunk_store.h"
#include "tests/testing/eventually.h"
#include "tests/testing/seeded_random.h"
#include "tests/testing/temp_dir.h"

namespace coffer::service {

inline rpc::Deadline soon() { return std::chrono::steady_clock::now() + std::chrono::seconds(20); }
inline object::ChunkId id_of(ByteView bytes) { return object::ChunkId(crypto::sha256(bytes)); }

/// A client with its certificate on the disk. Every call blocks.
struct TestClient {
  std::string name;
  rpc::ClientOptions options;
  rpc::VaultState vault;
  std::unique_ptr<rpc::Client> rpc;

  void connect() {
    rpc.reset();
    rpc = std::make_unique<rpc::Client>(options, os::real_random());
    rpc->start();
  }
  Result<void> wait_online() { return rpc->wait_online(soon()); }

  Result<rpc::PutChunkDone> put(const Bytes& sealed) { return put(id_of(sealed), sealed); }
  Result<rpc::PutChunkDone> put(const object::ChunkId& id, const Bytes& sealed) {
    const auto shared = std::make_shared<const Bytes>(sealed);
    return rpc::wait<rpc::PutChunkDone>([&](auto done) { rpc->put_chunk(id, shared, 0, soon(), done); });
  }
  Result<Bytes> get(const object::ChunkId& id) {
    return rpc::wait<Bytes>([&](auto done) { rpc->get_chunk(id, soon(), done); });
  }
  Result<std::vector<rpc::HaveState>> have(const std::vector<object::ChunkId>& ids) {
    return rpc::wait<std::vector<rpc::HaveState>>([&](auto done) { rpc->have(ids, soon(), done); });
  }
  Result<std::vector<rpc::VerifyState>> verify(const std::vector<object::ChunkId>& ids) {
    return rpc::wait<std::vector<rpc::VerifyState>>([&](auto done) { rpc->verify_chunks(ids, soon(), done); });
  }
  Result<rpc::LeaseGrant> lease(bool force = false) {
    return rpc::wait<rpc::LeaseGrant>([&](auto done) { rpc->acquire_lease(force, soon(), done); });
  }
  Result<object::Receipt> append(const object::Commit& commit) {
    return rpc::wait<object::Receipt>([&](auto done) { rpc->append_commit(object::encode(commit), soon(), done); });
  }
  Result<object::Receipt> append(const object::Commit& commit, const std::vector<Bytes>& chunks) {
    std::vector<std::shared_ptr<const Bytes>> carried;
    for (const Bytes& chunk : chunks) carried.push_back(std::make_shared<const Bytes>(chunk));
    return rpc::wait<object::Receipt>(
        [&](auto done) { rpc->append_commit(object::encode(commit), carried, soon(), done); });
  }
  Result<rpc::CommitPage> commits(std::uint64_t from, std::chrono::milliseconds wait = {}) {
    return rpc::wait<rpc::CommitPage>([&](auto done) { rpc->get_commits(from, 1 << 20, wait, soon(), done); });
  }
  Result<rpc::VaultState> ping() {
    return rpc::wait<rpc::VaultState>([&](auto done) { rpc->ping(soon(), done); });
  }
  Result<std::uint64_t> put_slot(std::string_view slot, bool only_if_first = false) {
    return rpc::wait<std::uint64_t>(
        [&](auto done) { rpc->put_key_slot(copy_of(as_bytes(slot)), only_if_first, soon(), done); });
  }
  Result<std::vector<rpc::KeySlot>> slots() {
    return rpc::wait<std::vector<rpc::KeySlot>>([&](auto done) { rpc->get_key_slots(soon(), done); });
  }
};

/// The commit that follows `previous` (none: the first one).
inline object::Commit commit_after(const object::VaultId& vault, const object::Commit* previous, std::uint64_t epoch,
                                   std::vector<object::ChunkId> added = {}) {
  std::ranges::sort(added);
  return {.vault = vault,
          .seq = previous == nullptr ? 1 : previous->seq + 1,
          .previous = previous == nullptr ? object::CommitHash() : object::hash_of(object::encode(*previous)),
          .epoch = epoch,
          .added = std::move(added),
          .released = {},
          .payload = copy_of(as_bytes("sealed"))};
}

class ServerWorld : public ::testing::Test {
 protected:
  ServerWorld() = default;
  /// The server's folder lies in `parent`.
  explicit ServerWorld(const std::filesystem::path& parent) : folder_(parent) {}
  void SetUp() override {
    ASSERT_TRUE(admin::init({.dir = dir(), .hosts = {"127.0.0.1"}}));
    start();
  }
  void TearDown() override { stop(); }

  std::string dir() const { return (folder_ / "server").string(); }

  void start() {
    const auto folder = admin::ServerFolder::find(dir());
    ASSERT_TRUE(folder);
    auto started = admin::RunningServer::start(*folder, {.host = "127.0.0.1", .port = port_});
    ASSERT_TRUE(started) << started.error().what;
    server_ = *std::move(started);
    port_ = server_->address().port;  // The same one after a restart.
    watching_ = true;
    watcher_ = std::thread([this] {  // As serve does.
      while (watching_) {
        server_->look_at_accounts();
        std::this_thread::sleep_for(std::chrono::milliseconds(50));
      }
    });
  }
  void stop() {
    watching_ = false;
    if (watcher_.joinable()) watcher_.join();
    server_.reset();
  }

  std::unique_ptr<accounts::Accounts> accounts() {
    return *accounts::Accounts::open(dir() + "/accounts.db", os::real_clock(), os::real_random());
  }

  tls::Token token(const accounts::Offer& offer, std::chrono::seconds valid = std::chrono::hours(1)) {
    const auto secret = accounts()->invite(offer, valid);
    EXPECT_TRUE(secret) << secret.error().what;
    const auto ca = admin::read_text(dir() + "/tls/ca.pem");
    return {.host = "127.0.0.1",
            .port = port_,
            .expires = std::chrono::floor<std::chrono::seconds>(os::real_clock().now()) + valid,
            .ca_pin = tls::read_certificate(*ca)->fingerprint,
            .secret = *secret};
  }

  static accounts::Offer new_vault(std::string name, std::uint64_t quota_bytes = 0) {
    return {.client_name = std::move(name), .vault = {}, .read_only = false, .quota_bytes = quota_bytes};
  }

  /// Enrols a client, and connects it.
  TestClient enrol(const accounts::Offer& offer) {
    const tls::KeyAndCsr made = tls::make_key_pair_and_csr(offer.client_name);
    auto enrolled = rpc::enroll(token(offer), made.csr_der, "test", soon());
    EXPECT_TRUE(enrolled) << enrolled.error().what;
    TestClient client{.name = offer.client_name, .options = {}, .vault = enrolled->vault, .rpc = {}};
    client.options.server = {.host = "127.0.0.1", .port = port_};
    client.options.identity =
        write_identity(offer.client_name, enrolled->ca_pem, enrolled->certificate_pem, made.key_pem.bytes());
    client.options.vault = enrolled->vault.id;
    client.options.connections = 2;
    client.options.program = "test";
    client.options.retry_min = std::chrono::milliseconds(5);
    client.options.retry_max = std::chrono::milliseconds(50);
    client.connect();
    return client;
  }

  rpc::ClientIdentity write_identity(const std::string& name, std::string_view ca, std::string_view certificate,
                                     ByteView key) {
    const std::string base = (folder_ / name).string();
    EXPECT_TRUE(admin::write_text(base + ".ca.pem", ca));
    EXPECT_TRUE(admin::write_text(base + ".pem", certificate));
    EXPECT_TRUE(admin::write_text(base + ".key", as_text(key)));
    return {.ca_file = base + ".ca.pem", .certificate_file = base + ".pem", .key_file = base + ".key"};
  }

  testing::TempDir folder_;
  testing::SeededRandom random_{1};
  std::uint16_t port_ = 0;
  std::unique_ptr<admin::RunningServer> server_;
  std::atomic<bool> watching_ = false;
  std::thread watcher_;
};

}  // namespace coffer::service
