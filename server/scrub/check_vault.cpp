#include "server/scrub/check_vault.h"

#include <algorithm>

#include "server/oplog/oplog.h"

namespace coffer::scrub {
namespace {

/// Of what the log needs, all that no pack has whole.
void compare(const std::vector<object::ChunkId>& needed, const std::vector<object::ChunkId>& found,
             const std::vector<std::string>& set_aside, VaultReport& report) {
  std::vector<object::ChunkId> bad;
  for (const BadChunk& chunk : report.bad) bad.push_back(chunk.id);
  std::ranges::sort(bad);
  for (const object::ChunkId& id : needed) {
    if (std::ranges::binary_search(found, id) || std::ranges::binary_search(bad, id)) continue;
    const bool is_aside = std::ranges::binary_search(set_aside, id.hex());
    report.bad.push_back({.id = id, .what = is_aside ? "was damaged, and is set aside in quarantine" : "is missing"});
  }
}

}  // namespace

Result<VaultReport> check_vault(os::Disk& disk, const std::string& folder, const object::VaultId& vault,
                                const crypto::PublicKey& receipt_key, bool read_data) {
  VaultReport report;
  // The log first: beside a running server the packs only gain what later commits name.
  COFFER_TRY(oplog::LogReport log, oplog::check_log(folder + "/oplog.db", vault, receipt_key));
  report.commits = log.commits;
  report.needed = log.present.size();
  for (std::string& sentence : log.damage) report.damage.push_back("log: " + std::move(sentence));
  Result<std::vector<std::string>> set_aside = disk.list(folder + "/packs/quarantine");
  if (!set_aside) set_aside = std::vector<std::string>();
  // What was set aside may still have its record, which the disk cannot read.
  const auto reads = [&](const object::ChunkId& id) {
    return read_data || std::ranges::binary_search(*set_aside, id.hex());
  };
  COFFER_TRY(pack::PacksReport packs, pack::scan_packs(disk, folder + "/packs", reads));
  report.chunks = packs.chunks;
  report.bytes = packs.bytes;
  report.bad = std::move(packs.bad);
  for (std::string& sentence : packs.damage) report.damage.push_back(std::move(sentence));
  compare(log.present, packs.found, *set_aside, report);
  return report;
}

}  // namespace coffer::scrub
