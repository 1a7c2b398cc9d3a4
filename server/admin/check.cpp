#include <filesystem>
#include <iostream>
#include <nlohmann/json.hpp>

#include "common/base/text.h"
#include "common/crypto/fingerprint.h"
#include "common/db/integrity.h"
#include "common/os/clock.h"
#include "common/os/disk.h"
#include "common/os/random.h"
#include "common/pack/pack_store.h"
#include "server/accounts/accounts.h"
#include "server/admin/commands.h"
#include "server/admin/configuration.h"
#include "server/admin/identity_check.h"
#include "server/admin/server_folder.h"
#include "server/scrub/check_vault.h"
#include "server/scrub/scrub_record.h"

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

/// A running server then finds the damage within a minute, and asks for what it lacks.
void make_scrub_due(const std::string& vault_folder) {
  scrub::ScrubRecord record = scrub::read_scrub_record(os::real_disk(), vault_folder);
  record = {.scrubbed_ns = record.scrubbed_ns, .place = {}};
  (void)scrub::write_scrub_record(os::real_disk(), vault_folder, record);  // Else it is found in its time.
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
    if (!checked.report.bad.empty()) make_scrub_due(path);
  } else {
    checked.report.damage.push_back(std::move(report).error().what);
  }
  return checked;
}

Result<std::vector<accounts::Vault>> vaults_of(const ServerFolder& folder) {
  {
    COFFER_TRY(db::Database database, db::Database::open(folder.accounts(), {.read_only = true}));
    COFFER_TRY(const std::vector<std::string> found, db::integrity_of(database));
    if (!found.empty()) return Error{Fault::corrupt, 0, "SQLite finds: " + found.front()};
  }
  COFFER_TRY(const auto accounts, accounts::Accounts::open(folder.accounts(), os::real_clock(), os::real_random()));
  return accounts->vaults();
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
  std::vector<std::string> damage = check_identity(folder);
  if (const auto configuration = read_configuration(folder.configuration()); !configuration)
    damage.push_back(configuration.error().what);
  const auto key = folder.load_receipt_key();
  if (!key) damage.push_back("receipt.key: it is damaged (" + key.error().what + "); restore it from a copy");
  auto vaults = vaults_of(folder);
  if (!vaults) {
    damage.push_back("accounts.db: it is damaged (" + vaults.error().what +
                     "); restore it from a copy: the vaults are whole without it, but nobody is let in");
    vaults = std::vector<accounts::Vault>();
  }
  if (options.rebuild_index) COFFER_DO(rebuild(folder, *vaults));
  const std::string fingerprint = key ? crypto::fingerprint_of(key->public_key()) : "";
  // Without the key no receipt holds: everything else is compared all the same.
  const crypto::PublicKey receipt_key = key ? key->public_key() : crypto::PublicKey{};

  bool well = damage.empty();
  json list = json::array();
  for (const accounts::Vault& vault : *vaults) {
    const Checked checked = check_one(folder, vault, receipt_key, options.read_data);
    well = well && checked.report.is_well();
    if (options.json) {
      list.push_back(to_json(checked));
    } else {
      print(checked);
    }
  }
  if (options.json) {
    const json all{{"well", well},
                   {"read_data", options.read_data},
                   {"damage", damage},
                   {"receipt_key", fingerprint},
                   {"vaults", std::move(list)}};
    std::cout << all.dump(2, ' ', false, json::error_handler_t::replace) << "\n";
  } else {
    for (const std::string& sentence : damage) std::cout << sentence << "\n";
    if (key) std::cout << "Receipts are signed by the key with the fingerprint " << fingerprint << "\n";
    if (vaults->empty() && well) std::cout << "No vaults yet.\n";
  }
  return well ? kExitDone : kExitCorrupt;
}

}  // namespace coffer::admin
