// Who may talk to this server, and about which vaults.
//
// One SQLite file, D/accounts.db. The server and every command open it by themselves, so that a command works
// beside a running server; what one of them commits the others see at their next call, and ChangeWatch says when
// to look.
//
// A client is known by the fingerprints of its certificates. An invitation is known by the SHA-256 of its secret:
// a stolen file of accounts lets nobody in.
#pragma once

#include <array>
#include <chrono>
#include <memory>

#include "common/os/clock.h"
#include "common/os/disk.h"
#include "common/os/random.h"
#include "server/accounts/records.h"

namespace coffer::accounts {

using InvitationSecret = std::array<std::byte, 32>;

struct Invited {
  Offer offer;
  std::optional<object::ClientId> client;  ///< That was made of it, where it is used.
};

/// Thread-safe; every call is one transaction, on stable storage when it returns, and may wait for the disk.
/// What a person asked for and cannot have is Fault::refused with a sentence that says what to do.
/// Keeps references to clock and random.
class Accounts {
 public:
  static Result<std::unique_ptr<Accounts>> open(const std::string& path, os::Clock& clock, os::Random& random,
                                                os::Disk& disk = os::real_disk());
  ~Accounts();

  /// A secret that lets one client in, once, for `valid`. An unused invitation of the same name ends.
  Result<InvitationSecret> invite(const Offer& offer, std::chrono::seconds valid);
  /// What the secret gives. Refused if it is unknown or expired; how long that takes does not depend on the secret.
  Result<Invited> find_invitation(ByteView secret);
  /// Uses the invitation up and makes what it offers. Where it was used already by whoever has this public key (its
  /// SHA-256), he lost the answer: Invited::client, which `id` is then, gets the certificate in place of the one that
  /// nobody has shown. Refused where another used it.
  Result<Client> enroll(ByteView secret, const object::ClientId& id, const Certificate& certificate,
                        const crypto::Digest& public_key);
  /// Makes a client without an invitation, for a certificate made by hand.
  Result<Client> add_client(const Offer& offer, const object::ClientId& id, const Certificate& certificate);
  /// One more certificate for the client of the name.
  Result<Client> add_certificate(const std::string& client_name, const Certificate& certificate);

  /// The client that shows this certificate. Refused if nobody registered the certificate, if it or its client was
  /// revoked, or if `uri_client`, the id in the certificate's own URI, is another client's.
  /// The first time that a renewed certificate is shown, the one that it replaces is revoked.
  Result<Client> admit(const crypto::Digest& fingerprint, const std::optional<object::ClientId>& uri_client);
  /// Registers the certificate that replaces `old_fingerprint`.
  Result<void> renew(const crypto::Digest& old_fingerprint, const Certificate& certificate);

  /// Ends the client of the name, and the invitation of a client of the name. Refused where there is neither.
  Result<Revoked> revoke(const std::string& client_name);
  Result<void> grant(const std::string& client_name, const std::string& vault_name, bool read_only);

  /// Those that were not revoked come first, each group by name.
  Result<std::vector<Client>> clients();
  /// Those that can still be used, by the client's name.
  Result<std::vector<OpenInvitation>> open_invitations();
  Result<std::vector<Vault>> vaults();
  Result<Vault> vault_named(const std::string& name);
  /// None for a client that was revoked or never was.
  Result<std::optional<std::string>> name_of(const object::ClientId& id);

 private:
  struct State;
  explicit Accounts(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

/// Says when any connection to the file, of this process or of another, has changed it. Not thread-safe.
class ChangeWatch {
 public:
  static Result<ChangeWatch> open(const std::string& path);
  ~ChangeWatch();
  ChangeWatch(ChangeWatch&&) noexcept;
  ChangeWatch& operator=(ChangeWatch&&) noexcept;

  /// True if something was committed since the last call.
  Result<bool> changed();

 private:
  struct State;
  explicit ChangeWatch(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace coffer::accounts
