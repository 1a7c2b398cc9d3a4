// A new certificate for a client that has one; the old one ends when the new one is first shown.
#include <cerrno>

#include "common/base/log.h"
#include "server/service/certify.h"
#include "server/service/requests.h"

namespace coffer::service {
namespace {

Result<wire::RenewCertificateDone> renew(const Parts& parts, const accounts::Client& client,
                                         const crypto::Digest& old_fingerprint, const std::string& csr) {
  COFFER_TRY(const Certified certified, certify(parts, as_bytes(csr), client.id, client.name));
  COFFER_DO(parts.accounts.renew(old_fingerprint, certified.facts));
  wire::RenewCertificateDone done;
  done.set_certificate(certified.pem);
  done.set_ca(parts.authority.certificate_pem);
  return done;
}

}  // namespace

Answer renew_certificate(Call call) {
  COFFER_CO_TRY(wire::RenewCertificate request, wire::parse<wire::RenewCertificate>(call.request.header));
  if (!call.session->peer() || !call.connection->has_begun())
    co_return Error{Fault::refused, EACCES, "no client certificate"};
  const Parts& parts = call.service.parts();
  auto work = [&parts, client = call.connection->access().client, old = call.session->peer()->fingerprint,
               csr = request.csr()] { return renew(parts, client, old, csr); };
  COFFER_CO_TRY(const auto done, co_await on_disk(call.disk(), std::move(work)));
  log::info("certificate renewed",
            {{"remote", call.session->remote()}, {"client", call.connection->access().client.name}});
  co_return reply_to(call, done);
}

}  // namespace coffer::service
