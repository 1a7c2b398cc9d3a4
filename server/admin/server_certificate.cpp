#include "server/admin/server_certificate.h"

#include <arpa/inet.h>

#include <algorithm>

#include "common/base/log.h"
#include "common/crypto/wipe.h"
#include "common/os/clock.h"
#include "common/os/paths.h"

namespace coffer::admin {
namespace {

constexpr std::chrono::hours kLifetime{24 * 825};
constexpr std::chrono::hours kLeftMin{24 * 90};

/// The names of the certificate that is there, if it is usable at all.
Result<tls::CertificateFacts> present(const tls::ServerFiles& files) {
  COFFER_TRY(const std::string pem, read_text(files.certificate, *files.disk));
  COFFER_TRY(const std::string key, read_text(files.key, *files.disk));
  COFFER_TRY(const std::string ca, read_text(files.ca, *files.disk));
  COFFER_TRY(const bool fits, tls::fits(pem, as_bytes(key)));
  COFFER_TRY(const bool ours, tls::was_issued_by(pem, ca));
  if (!fits || !ours) return Error{Fault::corrupt, 0, "the server's certificate does not fit its key or CA"};
  return tls::read_certificate(pem);
}

/// IPv6 addresses in their shortest form, in which they compare.
std::string canonical(const std::string& host) {
  in6_addr address;
  char text[INET6_ADDRSTRLEN];
  if (::inet_pton(AF_INET6, host.c_str(), &address) != 1) return host;
  return ::inet_ntop(AF_INET6, &address, text, sizeof(text));
}

}  // namespace

bool names_host(const std::vector<std::string>& hosts, const std::string& host) {
  return std::ranges::any_of(hosts, [&](const std::string& one) { return canonical(one) == canonical(host); });
}

Result<void> ensure_server_certificate(const ServerFolder& folder, const tls::Authority& authority,
                                       const std::vector<std::string>& hosts) {
  const tls::ServerFiles files = folder.tls_files();
  std::vector<std::string> names = hosts;
  if (const auto facts = present(files)) {
    const bool covers = std::ranges::all_of(hosts, [&](const auto& host) { return names_host(facts->hosts, host); });
    if (covers && facts->not_after > os::real_clock().now() + kLeftMin) return {};
    for (const std::string& host : facts->hosts) {
      if (!names_host(names, host)) names.push_back(host);
    }
    log::info("server certificate renewed", {{"names", names.size()}});
  } else if (os::is_there(*files.disk, files.certificate)) {
    // Made elsewhere, or damaged: what someone put there on purpose is not ours to replace.
    return Error{facts.error()}.in("tls/server.pem; remove it and tls/server.key to have new ones made");
  }
  // A key that is there stays: a kill between two new files would leave a key and a certificate that do not fit.
  Bytes csr_der;
  if (os::is_there(*files.disk, files.key)) {
    COFFER_TRY(std::string key, read_text(files.key, *files.disk));
    Result<Bytes> csr = tls::make_csr(as_bytes(key), names.front());
    crypto::wipe(std::as_writable_bytes(std::span(key)));
    COFFER_TRY(csr_der, std::move(csr));
  } else {
    tls::KeyAndCsr made = tls::make_key_pair_and_csr(names.front());
    COFFER_DO(write_text(files.key, as_text(std::as_const(made.key_pem).bytes()), *files.disk));
    csr_der = std::move(made.csr_der);
  }
  const tls::NewCertificate wanted{.common_name = names.front(),
                                   .purpose = tls::Purpose::server,
                                   .hosts = names,
                                   .uris = {},
                                   .validity = tls::valid_for(os::real_clock(), kLifetime)};
  COFFER_TRY(const std::string pem, tls::issue_certificate(authority, csr_der, wanted));
  return write_text(files.certificate, pem, *files.disk);
}

}  // namespace coffer::admin
