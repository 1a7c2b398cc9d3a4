// The first message of a connection: agrees on a version, says who the client is and what it may use.
#include <cerrno>

#include "common/base/log.h"
#include "server/service/requests.h"

namespace coffer::service {
namespace {

struct Welcome {
  Access access;
  std::shared_ptr<OpenVault> vault;
  wire::HelloDone done;
};

Result<std::optional<object::VaultId>> wanted_vault(const wire::Hello& hello) {
  if (hello.vault().empty()) return std::optional<object::VaultId>();
  COFFER_TRY(const auto id, wire::parse_id<object::VaultId>(hello.vault()));
  return std::optional(id);
}

Result<Welcome> welcome(Service& service, const rpc::PeerIdentity& peer, const std::optional<object::VaultId>& wanted) {
  Parts& parts = service.parts();
  COFFER_TRY(accounts::Client client, parts.accounts.admit(peer.fingerprint, peer.client));
  Welcome welcome;
  COFFER_TRY(welcome.access, access_to(std::move(client), wanted));
  if (wanted) {
    COFFER_TRY(welcome.vault, parts.vaults.open(*wanted));
  }
  for (const accounts::Grant& grant : welcome.access.client.grants) {
    const Result<void> described = describe(parts.vaults, grant, *welcome.done.add_vaults());
    if (described) continue;
    // Another vault's damage is no reason to keep the client from the one that it wants.
    if (wanted == grant.vault.id) return Error(described.error());
    log::error("vault damaged", {{"vault", grant.vault.name}, {"what", described.error().what}});
    welcome.done.mutable_vaults()->RemoveLast();
  }
  return welcome;
}

}  // namespace

Answer hello(Call call) {
  COFFER_CO_TRY(const wire::Hello hello, wire::parse<wire::Hello>(call.request.header));
  if (!call.session->peer()) co_return Error{Fault::refused, EACCES, "no client certificate"};
  if (call.connection->has_begun()) co_return Error{Fault::protocol, 0, "a second hello"};
  if (hello.version_min() > wire::kVersion || hello.version_max() < wire::kVersion)
    co_return Error{Fault::refused, EPROTONOSUPPORT, "this server speaks version 1 of the protocol only"};
  COFFER_CO_TRY(const auto wanted, wanted_vault(hello));

  Service& service = call.service;
  auto look = [&service, peer = *call.session->peer(), wanted] { return welcome(service, peer, wanted); };
  COFFER_CO_TRY(Welcome welcome, co_await on_disk(call.disk(), std::move(look)));

  wire::HelloDone& done = welcome.done;
  done.set_version(wire::kVersion);
  done.set_client(as_string(welcome.access.client.id.bytes()));
  done.set_client_name(welcome.access.client.name);
  done.set_receipt_key(as_string(service.parts().receipt_key.public_key()));
  done.set_chunk_bytes_max(static_cast<std::uint32_t>(limits::kChunkSealedBytesMax));
  done.set_carried_bytes_max(wire::kCarriedBytesMax);
  done.set_window_requests(service.options().window_requests);
  done.set_window_bytes(service.options().window_bytes);
  done.set_server_time_ns(static_cast<std::uint64_t>(service.parts().clock.now().time_since_epoch().count()));
  log::info("client connected", {{"remote", call.session->remote()},
                                 {"client", welcome.access.client.name},
                                 {"program", hello.program().substr(0, 64)}});
  COFFER_CO_DO(service.begin(*call.connection, std::move(welcome.access), std::move(welcome.vault)));
  // The accounts may have changed between the look above and now, when a change no longer passes the connection by.
  auto look_again = [&service, connection = call.connection]() -> Result<bool> {
    return service.recheck(*connection) ? Result<bool>(true) : Error{Fault::offline, EAGAIN, "accounts unreadable"};
  };
  COFFER_CO_DO(co_await on_disk(call.disk(), std::move(look_again)));
  co_return reply_to(call, done);
}

}  // namespace coffer::service
