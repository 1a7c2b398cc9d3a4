#include "common/pack/scan.h"

#include <algorithm>
#include <cerrno>

#include "common/pack/record.h"
#include "common/pack/salvage.h"
#include "common/pack/walk.h"

namespace coffer::pack {
namespace {

struct Scan {
  os::Disk& disk;
  const Reads& reads;
  PacksReport& report;

  Result<void> record(os::File& file, const std::string& name, std::uint64_t offset, const RecordHeader& header) {
    if (header.removed) return {};
    ++report.chunks;
    report.bytes += header.bytes;
    const auto matches = reads(header.id) ? payload_matches(file, offset, header) : Result<bool>(true);
    if (matches && *matches) {
      report.found.push_back(header.id);
    } else {
      const std::string why = matches ? "does not match its id in " : "cannot be read in ";
      report.bad.push_back({.id = header.id, .what = why + name});
    }
    return {};
  }

  Result<void> pack(const std::string& path, const std::string& name) {
    const auto file = disk.open(path, os::Open::read);
    if (!file && file.error().code == ENOENT) return {};  // Its last chunk has gone meanwhile.
    if (!file) return file.error();
    COFFER_TRY(const std::uint64_t size, (*file)->size());
    // A pack that was made in the moment of a power cut may be shorter than its header; nothing in it was acknowledged.
    if (size < kPackHeaderBytes) return {};
    Bytes head(kPackHeaderBytes);
    const Result<std::size_t> got = (*file)->read_at(head, 0);
    if (!got && !is_unreadable(got.error())) return got.error();
    if (!got || !decode_pack_header(head)) report.damage.push_back(name + ": its header cannot be read");
    const auto visit = [&](std::uint64_t offset, const RecordHeader& header) {
      return record(**file, name, offset, header);
    };
    COFFER_TRY(const WalkEnd end, walk(**file, kPackHeaderBytes, size, visit));
    for (const Gap& gap : end.gaps) {
      report.damage.push_back(name + ": " + std::to_string(gap.bytes) + " bytes at " + std::to_string(gap.offset) +
                              " are no record");
    }
    return {};
  }
};

}  // namespace

Result<PacksReport> scan_packs(os::Disk& disk, const std::string& folder, const Reads& reads) {
  PacksReport report;
  Scan scan{.disk = disk, .reads = reads, .report = report};
  COFFER_TRY(const auto names, disk.list(folder));
  for (const std::string& name : names) {
    if (!name.ends_with(".pack")) continue;
    if (auto read = scan.pack(folder + "/" + name, name); !read)
      report.damage.push_back(name + ": " + std::move(read).error().what);
  }
  std::ranges::sort(report.found);
  // A chunk may lie in two places: one good copy is enough.
  std::erase_if(report.bad, [&](const BadChunk& bad) { return std::ranges::binary_search(report.found, bad.id); });
  return report;
}

}  // namespace coffer::pack
