#include <filesystem>
#include <iostream>
#include <nlohmann/json.hpp>

#include "common/os/clock.h"
#include "common/os/random.h"
#include "server/accounts/accounts.h"
#include "server/admin/commands.h"
#include "server/admin/server_folder.h"
#include "server/admin/text_table.h"
#include "server/oplog/oplog.h"

namespace coffer::admin {
namespace {

using nlohmann::json;

std::int64_t kept_until_ns(std::int64_t removed_ns) {
  return removed_ns + std::chrono::nanoseconds(oplog::kLockFor).count();
}

json to_json(const oplog::KeySlot& slot) {
  json removed = nullptr;
  json kept_until = nullptr;
  if (slot.removed_ns) {
    removed = format_time(*slot.removed_ns);
    kept_until = format_time(kept_until_ns(*slot.removed_ns));
  }
  return {{"number", slot.number},
          {"bytes", slot.slot.size()},
          {"removed", std::move(removed)},
          {"kept_until", std::move(kept_until)}};
}

std::vector<std::string> to_row(const oplog::KeySlot& slot) {
  std::string state = "opens the vault";
  if (slot.removed_ns) {
    state = "removed " + format_time(*slot.removed_ns) + ", kept until " + format_time(kept_until_ns(*slot.removed_ns));
  }
  return {std::to_string(slot.number), std::to_string(slot.slot.size()), state};
}

}  // namespace

Result<int> slots(const SlotsOptions& options) {
  COFFER_TRY(const ServerFolder folder, ServerFolder::find(options.dir));
  COFFER_TRY(const auto accounts, accounts::Accounts::open(folder.accounts(), os::real_clock(), os::real_random()));
  COFFER_TRY(const accounts::Vault vault, accounts->vault_named(options.vault));
  COFFER_TRY(const auto key, folder.load_receipt_key());
  const std::string path = folder.vault(vault.id) + "/oplog.db";
  if (!std::filesystem::exists(path)) return Error{Fault::refused, 0, "the vault has no log yet, and no key slots"};
  COFFER_TRY(const auto log, oplog::OpLog::open(path, vault.id, key, os::real_clock()));
  if (!options.restored.empty() || !options.removed.empty())
    COFFER_DO(log->change_key_slots(options.restored, options.removed));

  COFFER_TRY(std::vector<oplog::KeySlot> all, log->key_slots());
  COFFER_TRY(const std::vector<oplog::KeySlot> removed, log->removed_key_slots());
  all.insert(all.end(), removed.begin(), removed.end());
  if (options.json) {
    json list = json::array();
    for (const oplog::KeySlot& slot : all) list.push_back(to_json(slot));
    std::cout << json{{"vault", vault.name}, {"slots", std::move(list)}}.dump(2) << "\n";
    return kExitDone;
  }
  std::vector<std::vector<std::string>> rows{{"NUMBER", "BYTES", "STATE"}};
  for (const oplog::KeySlot& slot : all) rows.push_back(to_row(slot));
  print_table(std::cout, rows);
  return kExitDone;
}

}  // namespace coffer::admin
