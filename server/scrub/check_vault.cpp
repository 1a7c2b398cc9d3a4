#include "server/scrub/check_vault.h"

#include <algorithm>

#include "common/pack/record.h"
#include "common/pack/walk.h"
#include "server/oplog/oplog.h"

namespace coffer::scrub {
namespace {

/// One walk over the packs of a vault.
struct Scan {
  os::Disk& disk;
  bool read_data;
  VaultReport& report;
  std::vector<object::ChunkId> found;  ///< Stored, and good as far as it was looked.

  Result<void> record(os::File& file, const std::string& name, std::uint64_t offset, const pack::RecordHeader& header) {
    if (header.removed) return {};
    ++report.chunks;
    report.bytes += header.bytes;
    const auto matches = read_data ? pack::payload_matches(file, offset, header) : Result<bool>(true);
    if (matches && *matches) {
      found.push_back(header.id);
    } else {
      const std::string why = matches ? "does not match its id in " : "cannot be read in ";
      report.bad.push_back({.id = header.id, .what = why + name});
    }
    return {};
  }

  Result<void> pack(const std::string& path, const std::string& name) {
    COFFER_TRY(const auto file, disk.open(path, os::Open::read));
    COFFER_TRY(const std::uint64_t size, file->size());
    Bytes head(std::min<std::uint64_t>(size, pack::kPackHeaderBytes));
    COFFER_DO(file->read_at(head, 0));
    // A pack that was made in the moment of a power cut may be shorter than its header; nothing in it was acknowledged.
    if (size < pack::kPackHeaderBytes) return {};
    if (!pack::decode_pack_header(head)) report.damage.push_back(name + ": its header cannot be read");
    const auto visit = [&](std::uint64_t offset, const pack::RecordHeader& header) {
      return record(*file, name, offset, header);
    };
    COFFER_TRY(const pack::WalkEnd end, pack::walk(*file, pack::kPackHeaderBytes, size, visit));
    for (const pack::Gap& gap : end.gaps) {
      report.damage.push_back(name + ": " + std::to_string(gap.bytes) + " bytes at " + std::to_string(gap.offset) +
                              " are no record");
    }
    return {};
  }

  Result<void> packs(const std::string& folder) {
    COFFER_TRY(const auto names, disk.list(folder));
    for (const std::string& name : names) {
      if (!name.ends_with(".pack")) continue;
      if (auto read = pack(folder + "/" + name, name); !read)
        report.damage.push_back(name + ": " + std::move(read).error().what);
    }
    return {};
  }
};

/// Of what the log needs, all that no pack has whole. A chunk may lie in two places: one good copy is enough.
void compare(const std::vector<object::ChunkId>& needed, std::vector<object::ChunkId>& found, VaultReport& report) {
  std::ranges::sort(found);
  std::erase_if(report.bad, [&](const BadChunk& bad) { return std::ranges::binary_search(found, bad.id); });
  std::vector<object::ChunkId> bad;
  for (const BadChunk& chunk : report.bad) bad.push_back(chunk.id);
  std::ranges::sort(bad);
  for (const object::ChunkId& id : needed) {
    if (std::ranges::binary_search(found, id) || std::ranges::binary_search(bad, id)) continue;
    report.bad.push_back({.id = id, .what = "is missing"});
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
  Scan scan{.disk = disk, .read_data = read_data, .report = report, .found = {}};
  COFFER_DO(scan.packs(folder + "/packs"));
  compare(log.present, scan.found, report);
  return report;
}

}  // namespace coffer::scrub
