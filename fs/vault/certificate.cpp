#include "fs/vault/certificate.h"

#include <chrono>

#include "common/base/log.h"
#include "common/os/disk.h"
#include "net/tls/certificate.h"

namespace coffer::vault {

namespace {

constexpr std::size_t kPemBytesMax = 256u << 10;
constexpr auto kRenewDeadline = std::chrono::seconds(20);

Result<tls::CertificateFacts> facts_of(const VaultFolder& folder) {
  COFFER_TRY(const Bytes pem, os::read_file(*folder.disk, folder.certificate(), kPemBytesMax));
  return tls::read_certificate(as_text(pem));
}

}  // namespace

bool is_certificate_due(const VaultFolder& folder, os::Clock& clock) {
  const Result<tls::CertificateFacts> facts = facts_of(folder);
  if (!facts) return false;
  return clock.now() >= facts->not_before + (facts->not_after - facts->not_before) / 3 * 2;
}

Result<os::WallTime> certificate_end(const VaultFolder& folder) {
  COFFER_TRY(const tls::CertificateFacts facts, facts_of(folder));
  return facts.not_after;
}

Result<void> renew_certificate(const VaultFolder& folder, const VaultSettings& settings, rpc::Client& client) {
  os::Disk& disk = *folder.disk;
  COFFER_TRY(const Bytes key, os::read_file(disk, folder.certificate_key(), kPemBytesMax));
  COFFER_TRY(Bytes csr, tls::make_csr(key, settings.client_name.empty() ? "coffer client" : settings.client_name));
  COFFER_TRY(const rpc::RenewedCertificate renewed, rpc::wait<rpc::RenewedCertificate>([&](auto done) {
               client.renew_certificate(std::move(csr), std::chrono::steady_clock::now() + kRenewDeadline,
                                        std::move(done));
             }));
  COFFER_TRY(const bool fits, tls::fits(renewed.certificate_pem, key));
  if (!fits) return Error{Fault::protocol, 0, "the server renewed a certificate for another key"};
  COFFER_DO(os::replace_file(disk, folder.certificate(), as_bytes(renewed.certificate_pem)));
  client.reload_identity();
  log::info("certificate_renewed");
  return {};
}

}  // namespace coffer::vault
