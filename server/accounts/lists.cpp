// What the accounts hold, read out.
#include "server/accounts/state.h"

namespace coffer::accounts {
namespace {

/// Columns id, name, quota_bytes, created_ns from `first` on.
Result<Vault> vault_in(const db::Statement& row, int first) {
  Vault vault;
  COFFER_TRY(vault.id, id_in<object::VaultId>(row, first));
  vault.name = row.text(first + 1);
  vault.quota_bytes = static_cast<std::uint64_t>(row.integer(first + 2));
  vault.created_ns = row.integer(first + 3);
  return vault;
}

/// Columns id, name, created_ns, revoked_ns.
Result<Client> client_in(const db::Statement& row) {
  Client client;
  COFFER_TRY(client.id, id_in<object::ClientId>(row, 0));
  client.name = row.text(1);
  client.created_ns = row.integer(2);
  if (!row.is_null(3)) client.revoked_ns = row.integer(3);
  return client;
}

}  // namespace

Result<std::vector<Client>> Accounts::clients() {
  const MutexLock lock(state_->mutex);
  COFFER_TRY(db::Statement all, state_->db.prepare("SELECT id, name, created_ns, revoked_ns FROM client "
                                                   "ORDER BY revoked_ns IS NOT NULL, name, created_ns"));
  std::vector<Client> clients;
  for (;;) {
    COFFER_TRY(const bool more, all.step());
    if (!more) return clients;
    COFFER_TRY(Client client, client_in(all));
    COFFER_TRY(client.grants, state_->grants_of(client.id));
    clients.push_back(std::move(client));
  }
}

Result<std::vector<OpenInvitation>> Accounts::open_invitations() {
  const MutexLock lock(state_->mutex);
  COFFER_TRY(db::Statement open, state_->db.prepare("SELECT client_name, name, read_only, expires_ns FROM invitation "
                                                    "LEFT JOIN vault ON vault.id = vault WHERE used_ns IS NULL "
                                                    "AND expires_ns > ? ORDER BY client_name"));
  open.bind(1, state_->now_ns());
  std::vector<OpenInvitation> invitations;
  for (;;) {
    COFFER_TRY(const bool more, open.step());
    if (!more) return invitations;
    OpenInvitation invitation{.client_name = std::string(open.text(0)),
                              .vault_name = open.is_null(1) ? std::string() : std::string(open.text(1)),
                              .read_only = open.integer(2) != 0,
                              .expires_ns = open.integer(3)};
    invitations.push_back(std::move(invitation));
  }
}

Result<std::vector<Vault>> Accounts::vaults() {
  const MutexLock lock(state_->mutex);
  COFFER_TRY(db::Statement all,
             state_->db.prepare("SELECT id, name, quota_bytes, created_ns FROM vault ORDER BY name"));
  std::vector<Vault> vaults;
  for (;;) {
    COFFER_TRY(const bool more, all.step());
    if (!more) return vaults;
    COFFER_TRY(Vault vault, vault_in(all, 0));
    vaults.push_back(std::move(vault));
  }
}

Result<Vault> Accounts::vault_named(const std::string& name) {
  const MutexLock lock(state_->mutex);
  return state_->vault_named(name);
}

Result<std::optional<std::string>> Accounts::name_of(const object::ClientId& id) {
  const MutexLock lock(state_->mutex);
  COFFER_TRY(db::Statement find, state_->db.prepare("SELECT name FROM client WHERE id = ? AND revoked_ns IS NULL"));
  COFFER_TRY(const bool found, find.bind(1, id.bytes()).step());
  return found ? std::optional(std::string(find.text(0))) : std::nullopt;
}

Result<Client> Accounts::State::client_named(const std::string& name) {
  COFFER_TRY(db::Statement find, db.prepare("SELECT id, name, created_ns, revoked_ns FROM client "
                                            "WHERE name = ? AND revoked_ns IS NULL"));
  COFFER_TRY(const bool found, find.bind(1, name).step());
  if (!found) return refused("there is no client \"" + name + "\"; cofferd clients lists them");
  COFFER_TRY(Client client, client_in(find));
  COFFER_TRY(client.grants, grants_of(client.id));
  return client;
}

Result<Vault> Accounts::State::vault_named(const std::string& name) {
  COFFER_TRY(db::Statement find, db.prepare("SELECT id, name, quota_bytes, created_ns FROM vault WHERE name = ?"));
  COFFER_TRY(const bool found, find.bind(1, name).step());
  if (!found) return refused("there is no vault \"" + name + "\"; cofferd vaults lists them");
  return vault_in(find, 0);
}

Result<std::vector<Grant>> Accounts::State::grants_of(const object::ClientId& id) {
  COFFER_TRY(db::Statement all, db.prepare("SELECT read_only, vault.id, vault.name, quota_bytes, created_ns "
                                           "FROM client_vault JOIN vault ON vault.id = vault "
                                           "WHERE client = ? ORDER BY vault.name"));
  all.bind(1, id.bytes());
  std::vector<Grant> grants;
  for (;;) {
    COFFER_TRY(const bool more, all.step());
    if (!more) return grants;
    COFFER_TRY(Vault vault, vault_in(all, 1));
    grants.push_back({.vault = std::move(vault), .read_only = all.integer(0) != 0});
  }
}

Result<void> Accounts::State::put_grant(const object::ClientId& client, const object::VaultId& vault, bool read_only) {
  COFFER_TRY(db::Statement put, db.prepare("INSERT INTO client_vault(client, vault, read_only) VALUES(?, ?, ?) "
                                           "ON CONFLICT DO UPDATE SET read_only = excluded.read_only"));
  return put.bind(1, client.bytes()).bind(2, vault.bytes()).bind(3, std::int64_t{read_only}).run();
}

}  // namespace coffer::accounts
