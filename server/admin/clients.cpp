#include <iostream>
#include <nlohmann/json.hpp>

#include "common/os/clock.h"
#include "common/os/random.h"
#include "server/accounts/accounts.h"
#include "server/admin/commands.h"
#include "server/admin/server_folder.h"
#include "server/admin/text_table.h"

namespace coffer::admin {
namespace {

using nlohmann::json;

json to_json(const accounts::Client& client) {
  json vaults = json::array();
  for (const accounts::Grant& grant : client.grants) {
    vaults.push_back({{"name", grant.vault.name}, {"id", grant.vault.id.hex()}, {"read_only", grant.read_only}});
  }
  json revoked = nullptr;
  if (client.revoked_ns) revoked = format_time(*client.revoked_ns);
  return {{"name", client.name},
          {"id", client.id.hex()},
          {"created", format_time(client.created_ns)},
          {"revoked", std::move(revoked)},
          {"vaults", std::move(vaults)}};
}

std::vector<std::string> to_row(const accounts::Client& client) {
  std::string vaults;
  for (const accounts::Grant& grant : client.grants) {
    if (!vaults.empty()) vaults += ", ";
    vaults += grant.vault.name + (grant.read_only ? " (read only)" : "");
  }
  const std::string state = client.revoked_ns ? "revoked " + format_time(*client.revoked_ns) : "active";
  return {client.name, client.id.hex(), state, vaults};
}

json to_json(const accounts::OpenInvitation& invitation) {
  json vault = nullptr;
  if (!invitation.vault_name.empty()) vault = invitation.vault_name;
  return {{"name", invitation.client_name},
          {"vault", std::move(vault)},
          {"read_only", invitation.read_only},
          {"expires", format_time(invitation.expires_ns)}};
}

std::vector<std::string> to_row(const accounts::OpenInvitation& invitation) {
  const std::string vault = invitation.vault_name.empty() ? "(a new one)" : invitation.vault_name;
  return {invitation.client_name, "", "invited until " + format_time(invitation.expires_ns),
          vault + (invitation.read_only ? " (read only)" : "")};
}

}  // namespace

Result<int> clients(const ListOptions& options) {
  COFFER_TRY(const ServerFolder folder, ServerFolder::find(options.dir));
  COFFER_TRY(const auto accounts, accounts::Accounts::open(folder.accounts(), os::real_clock(), os::real_random()));
  COFFER_TRY(const auto all, accounts->clients());
  COFFER_TRY(const auto invited, accounts->open_invitations());
  if (options.json) {
    json list = json::array();
    for (const accounts::Client& client : all) list.push_back(to_json(client));
    json open = json::array();
    for (const accounts::OpenInvitation& invitation : invited) open.push_back(to_json(invitation));
    std::cout << json{{"clients", std::move(list)}, {"invitations", std::move(open)}}.dump(2) << "\n";
    return kExitDone;
  }
  if (all.empty() && invited.empty()) {
    std::cout << "No clients yet; cofferd invite NAME --dir " << folder.path() << " prints a token for one.\n";
    return kExitDone;
  }
  std::vector<std::vector<std::string>> rows{{"NAME", "ID", "STATE", "VAULTS"}};
  for (const accounts::Client& client : all) rows.push_back(to_row(client));
  for (const accounts::OpenInvitation& invitation : invited) rows.push_back(to_row(invitation));
  print_table(std::cout, rows);
  return kExitDone;
}

}  // namespace coffer::admin
