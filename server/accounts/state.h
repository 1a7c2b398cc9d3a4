// The connection behind Accounts, and the steps that its calls share.
#pragma once

#include "common/base/mutex.h"
#include "common/db/database.h"
#include "server/accounts/accounts.h"

namespace coffer::accounts {

struct Accounts::State {
  State(db::Database database, os::Clock& clock_in, os::Random& random_in)
      : db(std::move(database)), clock(clock_in), random(random_in) {}

  Mutex mutex;
  db::Database db GUARDED_BY(mutex);
  os::Clock& clock;
  os::Random& random;

  std::int64_t now_ns() const { return clock.now().time_since_epoch().count(); }

  // Each is one step of a transaction that the caller holds.
  Result<std::vector<Grant>> grants_of(const object::ClientId& id) REQUIRES(mutex);
  /// Refused where no client that may come in has this name.
  Result<Client> client_named(const std::string& name) REQUIRES(mutex);
  Result<Vault> vault_named(const std::string& name) REQUIRES(mutex);
  /// Refused unless the offer can be made good: names are free, the vault is there.
  Result<void> check_offer(const Offer& offer) REQUIRES(mutex);
  /// Drops the unused invitation of the name; true if it could still have been used.
  Result<bool> end_invitation(const std::string& client_name) REQUIRES(mutex);
  Result<Client> make_client(const Offer& offer, const object::ClientId& id, const Certificate& certificate)
      REQUIRES(mutex);
  Result<void> put_grant(const object::ClientId& client, const object::VaultId& vault, bool read_only) REQUIRES(mutex);
  Result<void> put_certificate(const object::ClientId& client, const Certificate& certificate,
                               const std::optional<crypto::Digest>& replaces) REQUIRES(mutex);
  /// Forgets all but the last few of the client's certificates that were replaced.
  Result<void> prune_certificates(const object::ClientId& client) REQUIRES(mutex);
};

/// An id from a column; Fault::corrupt if the file holds something else there.
template <class Id>
Result<Id> id_in(const db::Statement& row, int column) {
  return Id::from(row.blob(column));
}

inline Error refused(std::string what) { return {Fault::refused, 0, std::move(what)}; }

}  // namespace coffer::accounts
