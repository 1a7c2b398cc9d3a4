// The right to write to the vault: server/oplog/lease.cpp keeps it.
#include "server/service/requests.h"

namespace coffer::service {
namespace {

struct Outcome {
  oplog::Lease lease;
  std::string holder_name;
};

Result<Outcome> acquire(accounts::Accounts& accounts, oplog::OpLog& log, const object::ClientId& client, bool force) {
  Outcome outcome;
  COFFER_TRY(outcome.lease, log.acquire_lease(client, force));
  if (outcome.lease.granted) return outcome;
  COFFER_TRY(const auto holder, accounts.name_of(outcome.lease.holder));
  outcome.holder_name = holder.value_or("");
  // A client that was revoked cannot write any more: nobody need wait for its lease to end.
  if (!holder) {
    COFFER_TRY(outcome.lease, log.take_lease_from(outcome.lease, client));
  }
  return outcome;
}

}  // namespace

Answer acquire_lease(Call call) {
  COFFER_CO_TRY(const wire::AcquireLease request, wire::parse<wire::AcquireLease>(call.request.header));
  COFFER_CO_TRY(const auto vault, vault_for(call, Use::write));
  const object::ClientId client = call.connection->access().client.id;
  accounts::Accounts& accounts = call.service.parts().accounts;
  auto work = [&accounts, vault, client, force = request.force()] {
    return acquire(accounts, *vault->log, client, force);
  };
  COFFER_CO_TRY(const Outcome outcome, co_await on_disk(call.disk(), std::move(work)));
  wire::AcquireLeaseDone done;
  done.set_granted(outcome.lease.granted);
  done.set_epoch(outcome.lease.epoch);
  done.set_ttl_ms(static_cast<std::uint32_t>(outcome.lease.ttl.count()));
  done.set_holder(outcome.lease.granted ? call.connection->access().client.name : outcome.holder_name);
  co_return reply_to(call, done);
}

Answer renew_lease(Call call) {
  COFFER_CO_TRY(const wire::RenewLease request, wire::parse<wire::RenewLease>(call.request.header));
  COFFER_CO_TRY(const auto vault, vault_for(call, Use::write));
  const object::ClientId client = call.connection->access().client.id;
  auto work = [vault, client, epoch = request.epoch()] { return vault->log->renew_lease(client, epoch); };
  COFFER_CO_TRY(const auto ttl, co_await on_disk(call.disk(), std::move(work)));
  wire::RenewLeaseDone done;
  done.set_ttl_ms(static_cast<std::uint32_t>(ttl.count()));
  co_return reply_to(call, done);
}

Answer release_lease(Call call) {
  COFFER_CO_TRY(const wire::ReleaseLease request, wire::parse<wire::ReleaseLease>(call.request.header));
  COFFER_CO_TRY(const auto vault, vault_for(call, Use::write));
  const object::ClientId client = call.connection->access().client.id;
  auto work = [vault, client, epoch = request.epoch()] { return vault->log->release_lease(client, epoch); };
  COFFER_CO_DO(co_await on_disk(call.disk(), std::move(work)));
  co_return reply_to(call, wire::ReleaseLeaseDone());
}

}  // namespace coffer::service
