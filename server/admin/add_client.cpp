// Registers a certificate that was made by hand; server/README.md shows how one is made.
#include <algorithm>
#include <filesystem>
#include <iostream>
#include <nlohmann/json.hpp>

#include "common/os/clock.h"
#include "common/os/disk.h"
#include "common/os/random.h"
#include "server/accounts/accounts.h"
#include "server/admin/commands.h"
#include "server/admin/server_folder.h"
#include "server/oplog/oplog.h"

namespace coffer::admin {
namespace {

constexpr std::string_view kPemEnd = "-----END CERTIFICATE-----";

Error refused(std::string what) { return {Fault::refused, 0, std::move(what)}; }

/// Whether one of the certificates in `bundle` has signed `certificate`.
bool is_signed_by_one_of(const std::string& certificate, std::string_view bundle) {
  for (auto end = bundle.find(kPemEnd); end != std::string_view::npos; end = bundle.find(kPemEnd)) {
    end += kPemEnd.size();
    const auto issued = tls::was_issued_by(certificate, bundle.substr(0, end));
    if (issued && *issued) return true;
    bundle.remove_prefix(end);
  }
  return false;
}

Result<tls::CertificateFacts> read_checked(const ServerFolder& folder, const std::string& file) {
  COFFER_TRY(const std::string pem, read_text(file));
  auto facts = tls::read_certificate(pem);
  if (!facts) return refused(file + " holds no certificate in PEM form");
  if (facts->not_after <= os::real_clock().now()) return refused("the certificate in " + file + " has expired");
  const tls::ServerFiles files = folder.tls_files();
  COFFER_TRY(const std::string ca, read_text(files.ca));
  const auto extra = read_text(files.extra_ca);
  if (is_signed_by_one_of(pem, ca) || (extra && is_signed_by_one_of(pem, *extra))) return facts;
  return refused("the certificate in " + file + " was signed neither by " + files.ca + " nor by a CA in " +
                 files.extra_ca + "; sign it with the one or add its CA to the other");
}

Result<accounts::Client> register_client(const AddClientOptions& options, const ServerFolder& folder,
                                         accounts::Accounts& accounts, const tls::CertificateFacts& facts) {
  const accounts::Certificate certificate{.fingerprint = facts.fingerprint,
                                          .serial = facts.serial,
                                          .not_after_ns = facts.not_after.time_since_epoch().count()};
  if (options.existing) {
    COFFER_TRY(const auto all, accounts.clients());
    const auto found = std::ranges::find_if(
        all, [&](const accounts::Client& client) { return client.name == options.name && !client.revoked_ns; });
    if (found != all.end() && facts.client && *facts.client != found->id)
      return refused("the certificate names the client " + facts.client->hex() + ", not " + options.name);
    return accounts.add_certificate(options.name, certificate);
  }
  accounts::Offer offer{
      .client_name = options.name, .vault = {}, .read_only = options.read_only, .quota_bytes = options.quota_bytes};
  if (!options.vault.empty()) {
    COFFER_TRY(const accounts::Vault vault, accounts.vault_named(options.vault));
    offer.vault = vault.id;
  }
  std::array<std::byte, object::ClientId::kSize> id;
  os::real_random().fill(id);
  COFFER_TRY(accounts::Client client,
             accounts.add_client(offer, facts.client.value_or(object::ClientId(id)), certificate));
  // So that a vault without a folder is always a vault that was lost (cofferd check).
  const std::string vault_folder = folder.vault(client.grants.front().vault.id);
  COFFER_DO(os::real_disk().make_folder(vault_folder + "/packs"));
  COFFER_TRY(const auto key, folder.load_receipt_key());
  COFFER_DO(oplog::OpLog::open(vault_folder + "/oplog.db", client.grants.front().vault.id, key, os::real_clock()));
  return client;
}

}  // namespace

Result<int> add_client(const AddClientOptions& options) {
  COFFER_TRY(const ServerFolder folder, ServerFolder::find(options.dir));
  COFFER_TRY(const tls::CertificateFacts facts, read_checked(folder, options.certificate_file));
  COFFER_TRY(const auto accounts, accounts::Accounts::open(folder.accounts(), os::real_clock(), os::real_random()));
  COFFER_TRY(const accounts::Client client, register_client(options, folder, *accounts, facts));
  const std::string vault = client.grants.empty() ? "" : client.grants.front().vault.id.hex();
  if (options.json) {
    std::cout << nlohmann::json{{"client", client.name}, {"id", client.id.hex()}, {"vault", vault}}.dump(2) << "\n";
  } else {
    std::cout << "Registered the certificate of client " << client.name << ", id " << client.id.hex() << ", vault "
              << vault << ".\n";
  }
  return kExitDone;
}

}  // namespace coffer::admin
