#include "server/service/requests.h"

#include <cerrno>

namespace coffer::service {

DiskTurn Call::disk() const {
  object::ClientId who = connection->access().client.id;
  if (!connection->has_begun() && session->peer()) {
    // At hello the accounts have not said who it is: the certificate stands for its client.
    const ByteView fingerprint = ByteView(session->peer()->fingerprint).first<object::ClientId::kSize>();
    if (const auto stand_in = object::ClientId::from(fingerprint)) who = *stand_in;
  }
  return {service.disk(), who};
}

Result<std::shared_ptr<OpenVault>> vault_for(const Call& call, Use use) {
  auto vault = call.connection->vault();
  if (vault == nullptr) return Error{Fault::refused, EINVAL, "this connection uses no vault"};
  if (use == Use::write && call.connection->access().grant->read_only)
    return Error{Fault::refused, EROFS, "this client may only read the vault"};
  return vault;
}

rpc::Reply reply_to(const Call& call, const google::protobuf::MessageLite& message, Bytes body) {
  rpc::Reply reply{.type = wire::answer_to(call.request.type), .header = message.SerializeAsString(), .body = {}};
  if (!body.empty()) reply.body = std::make_shared<const Bytes>(std::move(body));
  return reply;
}

Result<void> describe(VaultSet& vaults, const accounts::Grant& grant, wire::Vault& to) {
  to.set_id(as_string(grant.vault.id.bytes()));
  to.set_name(grant.vault.name);
  to.set_read_only(grant.read_only);
  to.set_quota_bytes(grant.vault.quota_bytes);
  COFFER_TRY(const auto vault, vaults.open(grant.vault.id));
  COFFER_TRY(const oplog::Head head, vault->log->head());
  COFFER_TRY(const std::uint64_t log_bytes, vault->log->log_bytes());
  to.set_stored_bytes(vault->chunks->used_bytes() + log_bytes);
  to.set_head_seq(head.seq);
  to.set_head_hash(as_string(head.hash.bytes()));
  to.set_wanted_chunks(vault->health.wanted_count());
  to.set_scrubbed_ns(vault->health.scrubbed_ns().value_or(0));
  return {};
}

Answer unknown(Call call) {
  (void)call;
  co_return Error{Fault::refused, ENOSYS, "this server does not know this request"};
}

}  // namespace coffer::service
