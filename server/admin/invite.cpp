#include <iostream>

#include "common/os/clock.h"
#include "common/os/random.h"
#include "net/tls/token.h"
#include "server/accounts/accounts.h"
#include "server/admin/commands.h"
#include "server/admin/configuration.h"
#include "server/admin/server_certificate.h"
#include "server/admin/server_folder.h"

namespace coffer::admin {
namespace {

/// The address that a client is to dial.
Result<Address> address_for(const ServerFolder& folder, const std::string& asked) {
  COFFER_TRY(const Configuration configuration, read_configuration(folder.configuration()));
  if (!asked.empty()) return parse_address(asked, configuration.port);
  if (RunLock::is_held(folder)) {
    // A server that has just started has not written it yet; the configuration says the same unless it was overruled.
    if (const auto line = read_text(folder.listen())) return parse_address(line->substr(0, line->find('\n')));
  }
  return Address{.host = configuration.hosts.front(), .port = configuration.port};
}

/// A client checks the server's certificate against the host that it dials: better to say it now than to let it fail.
void warn_if_not_in_certificate(const ServerFolder& folder, const std::string& host) {
  const auto pem = read_text(folder.tls_files().certificate);
  if (!pem) return;
  const auto facts = tls::read_certificate(*pem);
  if (!facts || names_host(facts->hosts, host)) return;
  std::cerr << "cofferd: the server's certificate does not name " << host << "; add it to hosts in "
            << folder.configuration() << " and restart the server before the token is used\n";
}

}  // namespace

Result<int> invite(const InviteOptions& options) {
  COFFER_TRY(const ServerFolder folder, ServerFolder::find(options.dir));
  COFFER_TRY(const Address address, address_for(folder, options.address));
  if (address.port == 0) return Error{Fault::refused, 0, "the port of --address must not be 0"};
  COFFER_TRY(const std::string ca, read_text(folder.tls_files().ca));
  COFFER_TRY(const tls::CertificateFacts ca_facts, tls::read_certificate(ca));
  COFFER_TRY(const auto accounts, accounts::Accounts::open(folder.accounts(), os::real_clock(), os::real_random()));

  accounts::Offer offer{
      .client_name = options.name, .vault = {}, .read_only = options.read_only, .quota_bytes = options.quota_bytes};
  if (!options.vault.empty()) {
    COFFER_TRY(const accounts::Vault vault, accounts->vault_named(options.vault));
    offer.vault = vault.id;
  }
  const auto expires = std::chrono::floor<std::chrono::seconds>(os::real_clock().now()) + options.valid;
  COFFER_TRY(const accounts::InvitationSecret secret, accounts->invite(offer, options.valid));
  warn_if_not_in_certificate(folder, address.host);
  const tls::Token token{
      .host = address.host, .port = address.port, .expires = expires, .ca_pin = ca_facts.fingerprint, .secret = secret};
  std::cout << tls::encode(token) << std::endl;
  return kExitDone;
}

}  // namespace coffer::admin
