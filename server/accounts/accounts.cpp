#include "server/accounts/accounts.h"

#include "server/accounts/state.h"

namespace coffer::accounts {
namespace {

constexpr const char* kSchema = R"sql(
  CREATE TABLE client(
    id BLOB PRIMARY KEY, name TEXT NOT NULL, created_ns INTEGER NOT NULL, revoked_ns INTEGER
  ) STRICT, WITHOUT ROWID;
  -- The name of a revoked client may be given again.
  CREATE UNIQUE INDEX client_name ON client(name) WHERE revoked_ns IS NULL;
  CREATE TABLE vault(
    id BLOB PRIMARY KEY, name TEXT NOT NULL UNIQUE, quota_bytes INTEGER NOT NULL, created_ns INTEGER NOT NULL
  ) STRICT, WITHOUT ROWID;
  CREATE TABLE client_vault(
    client BLOB NOT NULL REFERENCES client, vault BLOB NOT NULL REFERENCES vault, read_only INTEGER NOT NULL,
    PRIMARY KEY(client, vault)
  ) STRICT, WITHOUT ROWID;
  CREATE TABLE certificate(
    fingerprint BLOB PRIMARY KEY, client BLOB NOT NULL REFERENCES client, serial TEXT NOT NULL,
    not_after_ns INTEGER NOT NULL, replaces BLOB, first_seen_ns INTEGER, revoked_ns INTEGER
  ) STRICT, WITHOUT ROWID;
  CREATE TABLE invitation(
    secret_hash BLOB PRIMARY KEY, client_name TEXT NOT NULL, vault BLOB REFERENCES vault, read_only INTEGER NOT NULL,
    quota_bytes INTEGER NOT NULL, expires_ns INTEGER NOT NULL, used_ns INTEGER
  ) STRICT, WITHOUT ROWID;
)sql";

// Who used an invitation: whoever asks again with the same key lost the answer, and gets it once more.
constexpr const char* kUsedBy = R"sql(
  ALTER TABLE invitation ADD COLUMN client BLOB REFERENCES client;
  ALTER TABLE invitation ADD COLUMN public_key BLOB;
  ALTER TABLE invitation ADD COLUMN fingerprint BLOB;
)sql";

}  // namespace

Accounts::Accounts(std::unique_ptr<State> state) : state_(std::move(state)) {}
Accounts::~Accounts() = default;

Result<std::unique_ptr<Accounts>> Accounts::open(const std::string& path, os::Clock& clock, os::Random& random,
                                                 os::Disk& disk) {
  COFFER_TRY(db::Database db, db::Database::open(path, {.sync = db::Sync::full, .disk = &disk}));
  COFFER_DO(db.migrate({kSchema, kUsedBy}));
  return std::unique_ptr<Accounts>(new Accounts(std::make_unique<State>(std::move(db), clock, random)));
}

Result<Client> Accounts::add_client(const Offer& offer, const object::ClientId& id, const Certificate& certificate) {
  const MutexLock lock(state_->mutex);
  COFFER_TRY(db::Transaction transaction, db::Transaction::begin(state_->db));
  COFFER_DO(state_->check_offer(offer));
  COFFER_TRY(Client client, state_->make_client(offer, id, certificate));
  COFFER_DO(transaction.commit());
  return client;
}

Result<Client> Accounts::add_certificate(const std::string& client_name, const Certificate& certificate) {
  const MutexLock lock(state_->mutex);
  COFFER_TRY(db::Transaction transaction, db::Transaction::begin(state_->db));
  COFFER_TRY(Client client, state_->client_named(client_name));
  COFFER_DO(state_->put_certificate(client.id, certificate, std::nullopt));
  COFFER_DO(transaction.commit());
  return client;
}

Result<Revoked> Accounts::revoke(const std::string& client_name) {
  const MutexLock lock(state_->mutex);
  COFFER_TRY(db::Transaction transaction, db::Transaction::begin(state_->db));
  Revoked revoked;
  // Whoever has the token could else come in under the name of a client that was just shut out.
  COFFER_TRY(revoked.invitation, state_->end_invitation(client_name));
  const Result<Client> client = state_->client_named(client_name);
  if (!client && (client.error().fault != Fault::refused || !revoked.invitation)) return client.error();
  if (client) {
    COFFER_TRY(db::Statement set, state_->db.prepare("UPDATE client SET revoked_ns = ? WHERE id = ?"));
    COFFER_DO(set.bind(1, state_->now_ns()).bind(2, client->id.bytes()).run());
    revoked.client = true;
  }
  COFFER_DO(transaction.commit());
  return revoked;
}

Result<void> Accounts::grant(const std::string& client_name, const std::string& vault_name, bool read_only) {
  const MutexLock lock(state_->mutex);
  COFFER_TRY(db::Transaction transaction, db::Transaction::begin(state_->db));
  COFFER_TRY(const Client client, state_->client_named(client_name));
  COFFER_TRY(const Vault vault, state_->vault_named(vault_name));
  COFFER_DO(state_->put_grant(client.id, vault.id, read_only));
  return transaction.commit();
}

struct ChangeWatch::State {
  db::Database db;
  std::int64_t version = 0;
};

ChangeWatch::ChangeWatch(std::unique_ptr<State> state) : state_(std::move(state)) {}
ChangeWatch::~ChangeWatch() = default;
ChangeWatch::ChangeWatch(ChangeWatch&&) noexcept = default;
ChangeWatch& ChangeWatch::operator=(ChangeWatch&&) noexcept = default;

Result<ChangeWatch> ChangeWatch::open(const std::string& path) {
  COFFER_TRY(db::Database db, db::Database::open(path, {.sync = db::Sync::full}));
  COFFER_TRY(const std::int64_t version, db.data_version());
  return ChangeWatch(std::make_unique<State>(State{std::move(db), version}));
}

Result<bool> ChangeWatch::changed() {
  COFFER_TRY(const std::int64_t version, state_->db.data_version());
  return std::exchange(state_->version, version) != version;
}

}  // namespace coffer::accounts
