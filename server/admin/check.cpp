#include <filesystem>
#include <iostream>
#include <nlohmann/json.hpp>

#include "common/base/text.h"
#include "common/os/clock.h"
#include "common/os/disk.h"
#include "common/os/random.h"
#include "common/pack/pack_store.h"
#include "server/accounts/accounts.h"
#include "server/admin/commands.h"
#include "server/admin/server_folder.h"
#include "server/scrub/check_vault.h"

namespace coffer::admin {
namespace {

using nlohmann::json;

struct Checked {
  accounts::Vault vault;
  scrub::VaultReport report;
};

Result<void> rebuild(const ServerFolder& folder, const std::vector<accounts::Vault>& vaults) {
  for (const accounts::Vault& vault : vaults) {
    const std::string packs = folder.vault(vault.id) + "/packs";
    if (!std::filesystem::exists(packs)) continue;
    auto rebuilt = pack::PackStore::rebuild_index(os::real_disk(), packs);
    if (!rebuilt) return std::move(rebuilt).error().in("vault " + vault.name + ": the index could not be made anew");
  }
  return {};
}

/// The folder of a vault is made with the vault: one that is not there is lost.
Checked check_one(const ServerFolder& folder, const accounts::Vault& vault, const crypto::PublicKey& key,
                  bool read_data) {
  Checked checked{.vault = vault, .report = {}};
  const std::string path = folder.vault(vault.id);
  if (!std::filesystem::exists(path)) {
    checked.report.damage.push_back("its folder is missing");
    return checked;
  }
  auto report = scrub::check_vault(os::real_disk(), path, vault.id, key, read_data);
  if (report) {
    checked.report = *std::move(report);
  } else {
    checked.report.damage.push_back(std::move(report).error().what);
  }
  return checked;
}

json to_json(const Checked& checked) {
  json bad = json::array();
  for (const scrub::BadChunk& chunk : checked.report.bad)
    bad.push_back({{"chunk", chunk.id.hex()}, {"what", chunk.what}});
  return {
      {"vault", checked.vault.name},     {"id", checked.vault.id.hex()},    {"commits", checked.report.commits},
      {"chunks", checked.report.chunks}, {"bytes", checked.report.bytes},   {"chunks_needed", checked.report.needed},
      {"bad", std::move(bad)},           {"damage", checked.report.damage}, {"well", checked.report.is_well()}};
}

void print(const Checked& checked) {
  const scrub::VaultReport& report = checked.report;
  std::cout << checked.vault.name << ": " << report.commits << " commits, " << report.chunks << " chunks, "
            << base::format_size(report.bytes) << (report.is_well() ? ": well" : ": DAMAGED") << "\n";
  for (const scrub::BadChunk& chunk : report.bad)
    std::cout << checked.vault.name << ": chunk " << chunk.id.hex() << " " << chunk.what << "\n";
  for (const std::string& sentence : report.damage) std::cout << checked.vault.name << ": " << sentence << "\n";
}

}  // namespace

Result<int> check(const CheckOptions& options) {
  COFFER_TRY(const ServerFolder folder, ServerFolder::find(options.dir));
  if (options.rebuild_index && RunLock::is_held(folder)) {
    return Error{Fault::refused, 0,
                 "a server runs on " + folder.path() +
                     "; stop it before --rebuild-index (check without it may go on beside it)"};
  }
  COFFER_TRY(const auto key, folder.load_receipt_key());
  COFFER_TRY(const auto accounts, accounts::Accounts::open(folder.accounts(), os::real_clock(), os::real_random()));
  COFFER_TRY(const auto vaults, accounts->vaults());
  if (options.rebuild_index) COFFER_DO(rebuild(folder, vaults));

  bool well = true;
  json list = json::array();
  for (const accounts::Vault& vault : vaults) {
    const Checked checked = check_one(folder, vault, key.public_key(), options.read_data);
    well = well && checked.report.is_well();
    if (options.json) {
      list.push_back(to_json(checked));
    } else {
      print(checked);
    }
  }
  if (options.json)
    std::cout << json{{"well", well}, {"read_data", options.read_data}, {"vaults", std::move(list)}}.dump(2) << "\n";
  if (!options.json && vaults.empty()) std::cout << "No vaults yet.\n";
  return well ? kExitDone : kExitCorrupt;
}

}  // namespace coffer::admin
