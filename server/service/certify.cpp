#include "server/service/certify.h"

namespace coffer::service {
namespace {

constexpr std::size_t kCsrBytesMax = 16u << 10;
constexpr std::chrono::hours kLifetime{24 * 365};

}  // namespace

Result<Certified> certify(const Parts& parts, ByteView csr, const object::ClientId& id, const std::string& name) {
  if (csr.size() > kCsrBytesMax) return Error{Fault::protocol, 0, "a certificate request of an impossible length"};
  const tls::NewCertificate wanted{.common_name = name,
                                   .purpose = tls::Purpose::client,
                                   .hosts = {},
                                   .uris = {tls::client_uri(id)},
                                   .validity = tls::valid_for(parts.clock, kLifetime)};
  auto pem = tls::issue_certificate(parts.authority, csr, wanted);
  // Of the two that were read, the request is the one that a stranger sent.
  if (!pem && pem.error().fault == Fault::corrupt)
    return Error{Fault::protocol, 0, "the certificate request: " + pem.error().what};
  if (!pem) return std::move(pem).error();
  COFFER_TRY(const tls::CertificateFacts facts, tls::read_certificate(*pem));
  return Certified{.pem = *std::move(pem),
                   .facts = {.fingerprint = facts.fingerprint,
                             .serial = facts.serial,
                             .not_after_ns = facts.not_after.time_since_epoch().count()}};
}

}  // namespace coffer::service
