// How a client comes to be: invited, or added by hand.
#include <algorithm>
#include <limits>

#include "server/accounts/state.h"

namespace coffer::accounts {
namespace {

struct Invitation {
  Offer offer;
  crypto::Digest secret_hash{};
  std::int64_t expires_ns = 0;
  bool used = false;
  std::optional<object::ClientId> client;  // These three where it is used.
  Bytes public_key, fingerprint;
};

Error used_already() { return refused("this token was used already; ask for a new one (cofferd invite)"); }

Result<Invitation> invitation_in(const db::Statement& row) {
  Invitation invitation;
  COFFER_TRY(const auto hash, object::Id<32, struct HashTag>::from(row.blob(0)));
  invitation.secret_hash = hash.array();
  invitation.offer.client_name = row.text(1);
  if (!row.is_null(2)) {
    COFFER_TRY(invitation.offer.vault, id_in<object::VaultId>(row, 2));
  }
  invitation.offer.read_only = row.integer(3) != 0;
  invitation.offer.quota_bytes = static_cast<std::uint64_t>(row.integer(4));
  invitation.expires_ns = row.integer(5);
  invitation.used = !row.is_null(6);
  if (!row.is_null(7)) {
    COFFER_TRY(invitation.client, id_in<object::ClientId>(row, 7));
  }
  invitation.public_key = copy_of(row.blob(8));
  invitation.fingerprint = copy_of(row.blob(9));
  return invitation;
}

/// Compares with every invitation, each in constant time.
Result<Invitation> find(db::Database& db, ByteView secret, std::int64_t now_ns) {
  const crypto::Digest hash = crypto::sha256(secret);
  COFFER_TRY(db::Statement all,
             db.prepare("SELECT secret_hash, client_name, vault, read_only, quota_bytes, expires_ns, "
                        "used_ns, client, public_key, fingerprint FROM invitation"));
  std::optional<Invitation> found;
  for (;;) {
    COFFER_TRY(const bool more, all.step());
    if (!more) break;
    COFFER_TRY(Invitation invitation, invitation_in(all));
    if (crypto::equal_in_constant_time(invitation.secret_hash, hash)) found = std::move(invitation);
  }
  if (!found) return refused("this token is not known here; ask for a new one (cofferd invite)");
  if (found->used && !found->client) return used_already();
  if (found->expires_ns <= now_ns) return refused("this token has expired; ask for a new one (cofferd invite)");
  return *std::move(found);
}

}  // namespace

Result<InvitationSecret> Accounts::invite(const Offer& offer, std::chrono::seconds valid) {
  const MutexLock lock(state_->mutex);
  COFFER_TRY(db::Transaction transaction, db::Transaction::begin(state_->db));
  COFFER_DO(state_->check_offer(offer));
  COFFER_DO(state_->end_invitation(offer.client_name));

  InvitationSecret secret;
  state_->random.fill(secret);
  COFFER_TRY(db::Statement put, state_->db.prepare("INSERT INTO invitation(secret_hash, client_name, vault, read_only, "
                                                   "quota_bytes, expires_ns) VALUES(?, ?, ?, ?, ?, ?)"));
  const crypto::Digest hash = crypto::sha256(secret);
  put.bind(1, ByteView(hash)).bind(2, offer.client_name);
  if (offer.vault) put.bind(3, offer.vault->bytes());
  put.bind(4, std::int64_t{offer.read_only}).bind(5, static_cast<std::int64_t>(offer.quota_bytes));
  put.bind(6, state_->now_ns() + std::chrono::nanoseconds(valid).count());
  COFFER_DO(put.run());
  COFFER_DO(transaction.commit());
  return secret;
}

Result<Invited> Accounts::find_invitation(ByteView secret) {
  const MutexLock lock(state_->mutex);
  COFFER_TRY(Invitation invitation, find(state_->db, secret, state_->now_ns()));
  return Invited{std::move(invitation.offer), invitation.client};
}

Result<Client> Accounts::enroll(ByteView secret, const object::ClientId& id, const Certificate& certificate,
                                const crypto::Digest& public_key) {
  const MutexLock lock(state_->mutex);
  COFFER_TRY(db::Transaction transaction, db::Transaction::begin(state_->db));
  COFFER_TRY(const Invitation invitation, find(state_->db, secret, state_->now_ns()));
  Client client;
  if (invitation.used) {
    if (!std::ranges::equal(invitation.public_key, ByteView(public_key))) return used_already();
    if (invitation.client != id) return refused("this token was used a moment ago; run the same command again");
    COFFER_TRY(client, state_->client_named(invitation.offer.client_name));
    if (client.id != id) return used_already();  // Revoked, and the name given again.
    COFFER_TRY(db::Statement drop,
               state_->db.prepare("DELETE FROM certificate WHERE fingerprint = ? AND first_seen_ns IS NULL"));
    COFFER_DO(drop.bind(1, invitation.fingerprint).run());
    COFFER_DO(state_->put_certificate(id, certificate, std::nullopt));
  } else {
    COFFER_DO(state_->check_offer(invitation.offer));
    COFFER_TRY(client, state_->make_client(invitation.offer, id, certificate));
  }
  COFFER_TRY(db::Statement use, state_->db.prepare("UPDATE invitation SET used_ns = ?, client = ?, public_key = ?, "
                                                   "fingerprint = ? WHERE secret_hash = ?"));
  use.bind(1, state_->now_ns()).bind(2, id.bytes()).bind(3, ByteView(public_key));
  COFFER_DO(use.bind(4, ByteView(certificate.fingerprint)).bind(5, ByteView(invitation.secret_hash)).run());
  COFFER_DO(transaction.commit());
  return client;
}

Result<bool> Accounts::State::end_invitation(const std::string& client_name) {
  COFFER_TRY(db::Statement open, db.prepare("SELECT 1 FROM invitation WHERE client_name = ? AND used_ns IS NULL AND "
                                            "expires_ns > ?"));
  COFFER_TRY(const bool was_open, open.bind(1, client_name).bind(2, now_ns()).step());
  COFFER_TRY(db::Statement drop, db.prepare("DELETE FROM invitation WHERE client_name = ? AND used_ns IS NULL"));
  COFFER_DO(drop.bind(1, client_name).run());
  return was_open;
}

Result<void> Accounts::State::check_offer(const Offer& offer) {
  COFFER_DO(check_name(offer.client_name));
  if (offer.quota_bytes > static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max()))
    return refused("a quota is at most 8 EiB");
  COFFER_TRY(db::Statement taken, db.prepare("SELECT 1 FROM client WHERE name = ? AND revoked_ns IS NULL"));
  COFFER_TRY(const bool client_taken, taken.bind(1, offer.client_name).step());
  if (client_taken) {
    return refused("there is a client \"" + offer.client_name + "\" already; choose another name, or revoke it first");
  }
  const char* sql = offer.vault ? "SELECT 1 FROM vault WHERE id = ?" : "SELECT 1 FROM vault WHERE name = ?";
  COFFER_TRY(db::Statement vault, db.prepare(sql));
  if (offer.vault) {
    vault.bind(1, offer.vault->bytes());
  } else {
    vault.bind(1, offer.client_name);
  }
  COFFER_TRY(const bool vault_found, vault.step());
  if (offer.vault && !vault_found) return refused("that vault is no longer there");
  if (!offer.vault && vault_found) {
    return refused("there is a vault \"" + offer.client_name + "\" already; join it with --vault " + offer.client_name +
                   ", or choose another name");
  }
  return {};
}

Result<Client> Accounts::State::make_client(const Offer& offer, const object::ClientId& id,
                                            const Certificate& certificate) {
  Client client{.id = id, .name = offer.client_name, .created_ns = now_ns(), .revoked_ns = {}, .grants = {}};
  COFFER_TRY(db::Statement known, db.prepare("SELECT 1 FROM client WHERE id = ?"));
  COFFER_TRY(const bool taken, known.bind(1, id.bytes()).step());
  if (taken) return refused("the client id " + id.hex() + " is another client's already; make one of its own");
  COFFER_TRY(db::Statement put, db.prepare("INSERT INTO client(id, name, created_ns) VALUES(?, ?, ?)"));
  COFFER_DO(put.bind(1, id.bytes()).bind(2, client.name).bind(3, client.created_ns).run());
  COFFER_DO(put_certificate(id, certificate, std::nullopt));

  object::VaultId vault = offer.vault.value_or(object::VaultId());
  if (!offer.vault) {
    std::array<std::byte, object::VaultId::kSize> bytes;
    random.fill(bytes);
    vault = object::VaultId(bytes);
    COFFER_TRY(db::Statement make,
               db.prepare("INSERT INTO vault(id, name, quota_bytes, created_ns) VALUES(?, ?, ?, ?)"));
    make.bind(1, vault.bytes()).bind(2, client.name).bind(3, static_cast<std::int64_t>(offer.quota_bytes));
    COFFER_DO(make.bind(4, client.created_ns).run());
  }
  COFFER_DO(put_grant(id, vault, offer.read_only));
  COFFER_TRY(client.grants, grants_of(id));
  return client;
}

}  // namespace coffer::accounts
