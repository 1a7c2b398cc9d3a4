// Who a certificate is, and how one follows another.
#include "server/accounts/state.h"

namespace coffer::accounts {
namespace {

/// Ended certificates of one client that are remembered, so that whoever shows one is told why it is not taken; of an
/// older one he hears that it is not known. A client can renew as often as it likes, and must not fill the disk with
/// it.
constexpr int kEndedCertificatesMax = 8;

}  // namespace

Result<Client> Accounts::admit(const crypto::Digest& fingerprint, const std::optional<object::ClientId>& uri_client) {
  const MutexLock lock(state_->mutex);
  auto& db = state_->db;
  COFFER_TRY(db::Statement find,
             db.prepare("SELECT client.id, client.name, client.created_ns, client.revoked_ns, "
                        "certificate.revoked_ns, first_seen_ns, replaces "
                        "FROM certificate JOIN client ON client.id = client WHERE fingerprint = ?"));
  COFFER_TRY(const bool known, find.bind(1, ByteView(fingerprint)).step());
  if (!known) return refused("this certificate is not registered here");
  Client client;
  COFFER_TRY(client.id, id_in<object::ClientId>(find, 0));
  client.name = find.text(1);
  client.created_ns = find.integer(2);
  if (!find.is_null(3)) return refused("client \"" + client.name + "\" was revoked");
  if (!find.is_null(4))
    return refused("this certificate of client \"" + client.name + "\" was replaced by a newer one");
  if (uri_client && *uri_client != client.id)
    return refused("this certificate names another client than it belongs to");
  const bool first_time = find.is_null(5);
  const Bytes replaces = copy_of(find.blob(6));
  find.reset();
  COFFER_TRY(client.grants, state_->grants_of(client.id));
  if (!first_time) return client;

  COFFER_TRY(db::Transaction transaction, db::Transaction::begin(db));
  COFFER_TRY(db::Statement seen, db.prepare("UPDATE certificate SET first_seen_ns = ? WHERE fingerprint = ?"));
  COFFER_DO(seen.bind(1, state_->now_ns()).bind(2, ByteView(fingerprint)).run());
  COFFER_TRY(db::Statement end, db.prepare("UPDATE certificate SET revoked_ns = ? WHERE fingerprint = ?"));
  COFFER_DO(end.bind(1, state_->now_ns()).bind(2, ByteView(replaces)).run());
  COFFER_DO(state_->prune_certificates(client.id));
  COFFER_DO(transaction.commit());
  return client;
}

Result<void> Accounts::renew(const crypto::Digest& old_fingerprint, const Certificate& certificate) {
  const MutexLock lock(state_->mutex);
  COFFER_TRY(db::Transaction transaction, db::Transaction::begin(state_->db));
  COFFER_TRY(db::Statement find, state_->db.prepare("SELECT client FROM certificate JOIN client ON client.id = client "
                                                    "WHERE fingerprint = ? AND certificate.revoked_ns IS NULL "
                                                    "AND client.revoked_ns IS NULL"));
  COFFER_TRY(const bool known, find.bind(1, ByteView(old_fingerprint)).step());
  if (!known) return refused("the certificate that asks was revoked");
  COFFER_TRY(const object::ClientId client, id_in<object::ClientId>(find, 0));
  find.reset();
  // A renewal whose answer was lost leaves a certificate that nobody has ever shown: it makes way.
  COFFER_TRY(db::Statement drop,
             state_->db.prepare("DELETE FROM certificate WHERE replaces = ? AND first_seen_ns IS NULL"));
  COFFER_DO(drop.bind(1, ByteView(old_fingerprint)).run());
  COFFER_DO(state_->put_certificate(client, certificate, old_fingerprint));
  return transaction.commit();
}

Result<void> Accounts::State::prune_certificates(const object::ClientId& client) {
  COFFER_TRY(db::Statement drop,
             db.prepare("DELETE FROM certificate WHERE client = ?1 AND revoked_ns IS NOT NULL AND fingerprint NOT IN "
                        "(SELECT fingerprint FROM certificate WHERE client = ?1 AND revoked_ns IS NOT NULL "
                        "ORDER BY revoked_ns DESC, fingerprint LIMIT ?2)"));
  return drop.bind(1, client.bytes()).bind(2, std::int64_t{kEndedCertificatesMax}).run();
}

Result<void> Accounts::State::put_certificate(const object::ClientId& client, const Certificate& certificate,
                                              const std::optional<crypto::Digest>& replaces) {
  COFFER_TRY(db::Statement find, db.prepare("SELECT 1 FROM certificate WHERE fingerprint = ?"));
  COFFER_TRY(const bool known, find.bind(1, ByteView(certificate.fingerprint)).step());
  if (known) return refused("this certificate is registered already");
  COFFER_TRY(db::Statement put,
             db.prepare("INSERT INTO certificate(fingerprint, client, serial, not_after_ns, replaces) "
                        "VALUES(?, ?, ?, ?, ?)"));
  put.bind(1, ByteView(certificate.fingerprint)).bind(2, client.bytes()).bind(3, certificate.serial);
  put.bind(4, certificate.not_after_ns);
  if (replaces) put.bind(5, ByteView(*replaces));
  return put.run();
}

}  // namespace coffer::accounts
