// How the connection's vault stands, and that the server is there.
#include "server/service/requests.h"

namespace coffer::service {

Answer ping(Call call) {
  COFFER_CO_DO(wire::parse<wire::Ping>(call.request.header));
  wire::PingDone done;
  done.set_server_time_ns(static_cast<std::uint64_t>(call.service.parts().clock.now().time_since_epoch().count()));
  const auto grant = call.connection->access().grant;
  if (!grant) co_return reply_to(call, done);
  VaultSet& vaults = call.service.parts().vaults;
  auto work = [&vaults, grant = *grant]() -> Result<wire::Vault> {
    wire::Vault vault;
    COFFER_DO(describe(vaults, grant, vault));
    return vault;
  };
  COFFER_CO_TRY(*done.mutable_vault(), co_await on_disk(call.disk(), std::move(work)));
  done.set_wanted(wire::join_ids(call.connection->vault()->health.next_wanted(wire::kWantedInPingMax)));
  co_return reply_to(call, done);
}

}  // namespace coffer::service
