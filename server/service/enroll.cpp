// Turns a token's secret into a client: the one request without a certificate.
#include "common/base/log.h"
#include "server/service/certify.h"
#include "server/service/requests.h"

namespace coffer::service {
namespace {

Result<wire::EnrollDone> enrol(const Parts& parts, const wire::Enroll& request) {
  const ByteView secret = as_bytes(request.secret());
  // Before anything is signed: a stranger must not make the server work.
  COFFER_TRY(const accounts::Invited invited, parts.accounts.find_invitation(secret));
  std::array<std::byte, object::ClientId::kSize> id_bytes;
  parts.random.fill(id_bytes);
  const object::ClientId id = invited.client.value_or(object::ClientId(id_bytes));
  COFFER_TRY(const Certified certified, certify(parts, as_bytes(request.csr()), id, invited.offer.client_name));
  COFFER_TRY(const crypto::Digest public_key, tls::public_key_of(as_bytes(request.csr())));
  COFFER_TRY(const accounts::Client client, parts.accounts.enroll(secret, id, certified.facts, public_key));

  wire::EnrollDone done;
  done.set_certificate(certified.pem);
  done.set_ca(parts.authority.certificate_pem);
  done.set_client(as_string(id.bytes()));
  done.set_client_name(client.name);
  COFFER_DO(describe(parts.vaults, client.grants.front(), *done.mutable_vault()));
  return done;
}

}  // namespace

Answer enroll(Call call) {
  COFFER_CO_TRY(wire::Enroll request, wire::parse<wire::Enroll>(call.request.header));
  const Parts& parts = call.service.parts();
  auto work = [&parts, request = std::move(request)] { return enrol(parts, request); };
  COFFER_CO_TRY(const wire::EnrollDone done, co_await on_disk(call.disk(), std::move(work)));
  log::info("client enrolled",
            {{"remote", call.session->remote()}, {"client", done.client_name()}, {"vault", done.vault().name()}});
  co_return reply_to(call, done);
}

}  // namespace coffer::service
