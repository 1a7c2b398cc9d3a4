#include <sys/stat.h>

#include <filesystem>
#include <iostream>
#include <nlohmann/json.hpp>

#include "common/base/text.h"
#include "common/os/clock.h"
#include "common/os/disk.h"
#include "common/os/random.h"
#include "server/accounts/accounts.h"
#include "server/admin/commands.h"
#include "server/admin/server_folder.h"
#include "server/admin/text_table.h"
#include "server/oplog/oplog.h"
#include "server/scrub/scrub_record.h"

namespace coffer::admin {
namespace {

using nlohmann::json;

struct VaultLine {
  accounts::Vault vault;
  std::vector<std::string> clients;
  std::uint64_t disk_bytes = 0;
  std::uint64_t commits = 0;
  scrub::ScrubRecord scrub;
};

/// What the packs take on the disk: their index belongs to the running server.
std::uint64_t disk_bytes_of(const std::string& packs) {
  const auto names = os::real_disk().list(packs);
  if (!names) return 0;
  std::uint64_t bytes = 0;
  for (const std::string& name : *names) {
    struct stat status {};
    if (name.ends_with(".pack") && ::stat((packs + "/" + name).c_str(), &status) == 0)
      bytes += static_cast<std::uint64_t>(status.st_blocks) * 512;
  }
  return bytes;
}

Result<std::uint64_t> commits_of(const ServerFolder& folder, const object::VaultId& id, const crypto::SigningKey& key) {
  const std::string path = folder.vault(id) + "/oplog.db";
  if (!std::filesystem::exists(path)) return std::uint64_t{0};
  COFFER_TRY(const auto log, oplog::OpLog::open(path, id, key, os::real_clock()));
  COFFER_TRY(const oplog::Head head, log->head());
  return head.seq;
}

Result<std::vector<VaultLine>> collect(const ServerFolder& folder) {
  COFFER_TRY(const auto accounts, accounts::Accounts::open(folder.accounts(), os::real_clock(), os::real_random()));
  COFFER_TRY(const auto key, folder.load_receipt_key());
  COFFER_TRY(const auto clients, accounts->clients());
  COFFER_TRY(const auto vaults, accounts->vaults());
  std::vector<VaultLine> lines;
  for (const accounts::Vault& vault : vaults) {
    VaultLine line{.vault = vault, .clients = {}, .scrub = {}};
    for (const accounts::Client& client : clients) {
      for (const accounts::Grant& grant : client.grants) {
        if (grant.vault.id == vault.id && !client.revoked_ns) line.clients.push_back(client.name);
      }
    }
    line.disk_bytes = disk_bytes_of(folder.vault(vault.id) + "/packs");
    COFFER_TRY(line.commits, commits_of(folder, vault.id, key));
    line.scrub = scrub::read_scrub_record(os::real_disk(), folder.vault(vault.id));
    lines.push_back(std::move(line));
  }
  return lines;
}

json to_json(const VaultLine& line) {
  return {{"name", line.vault.name},
          {"id", line.vault.id.hex()},
          {"created", format_time(line.vault.created_ns)},
          {"quota_bytes", line.vault.quota_bytes},
          {"disk_bytes", line.disk_bytes},
          {"commits", line.commits},
          {"scrubbed", line.scrub.scrubbed_ns > 0 ? json(format_time(line.scrub.scrubbed_ns)) : json()},
          {"wanted_chunks", line.scrub.wanted_chunks},
          {"clients", line.clients}};
}

std::vector<std::string> to_row(const VaultLine& line) {
  std::string clients;
  for (const std::string& name : line.clients) clients += (clients.empty() ? "" : ", ") + name;
  const std::string quota = line.vault.quota_bytes == 0 ? "none" : base::format_size(line.vault.quota_bytes);
  std::string scrubbed = line.scrub.scrubbed_ns > 0 ? format_time(line.scrub.scrubbed_ns) : "not yet";
  if (line.scrub.wanted_chunks > 0) scrubbed += ", " + std::to_string(line.scrub.wanted_chunks) + " CHUNKS LOST";
  return {line.vault.name, line.vault.id.hex(),          base::format_size(line.disk_bytes),
          quota,           std::to_string(line.commits), scrubbed,
          clients};
}

}  // namespace

Result<int> vaults(const ListOptions& options) {
  COFFER_TRY(const ServerFolder folder, ServerFolder::find(options.dir));
  COFFER_TRY(const auto lines, collect(folder));
  if (options.json) {
    json list = json::array();
    for (const VaultLine& line : lines) list.push_back(to_json(line));
    std::cout << json{{"vaults", std::move(list)}}.dump(2) << "\n";
    return kExitDone;
  }
  if (lines.empty()) {
    std::cout << "No vaults yet; enrolling a client makes one.\n";
    return kExitDone;
  }
  std::vector<std::vector<std::string>> rows{{"NAME", "ID", "ON DISK", "QUOTA", "COMMITS", "SCRUBBED", "CLIENTS"}};
  for (const VaultLine& line : lines) rows.push_back(to_row(line));
  print_table(std::cout, rows);
  return kExitDone;
}

}  // namespace coffer::admin
