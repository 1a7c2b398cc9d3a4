#include <cerrno>
#include <map>

#include "common/base/log.h"
#include "common/pack/record.h"
#include "common/pack/recovery.h"
#include "common/pack/salvage.h"

namespace coffer::pack {
namespace {

/// To change a part of a sector the kernel reads it first. Where the disk cannot, the record stays as it is: it is out
/// of the index, and the disk is no reason to stop using the packs.
Result<bool> unless_unreadable(Result<void> written, const Location& at) {
  if (written) return true;
  if (!is_unreadable(written.error())) return std::move(written).error();
  log::warn("pack.not_removed", {{"pack", at.pack}, {"offset", at.offset}, {"why", written.error().what}});
  return false;
}

/// Returns those that could be marked.
Result<std::vector<Location>> mark(os::File& file, const std::vector<Location>& records) {
  const std::byte state = kStateRemoved;
  std::vector<Location> marked;
  for (const Location& at : records) {
    COFFER_TRY(const bool is_marked, unless_unreadable(file.write_at(ByteView(&state, 1), at.offset + kStateAt), at));
    if (is_marked) marked.push_back(at);
  }
  // A hole without its mark would look like a chunk that went bad.
  COFFER_DO(file.sync());
  return marked;
}

Result<void> punch(os::File& file, const std::vector<Location>& records) {
  for (const Location& at : records) {
    COFFER_DO(unless_unreadable(file.punch(at.offset + kRecordHeaderBytes, at.bytes), at));
  }
  return {};
}

}  // namespace

Result<void> carry_out_removals(PackFiles& files, const std::vector<Location>& removals) {
  std::map<std::uint64_t, std::vector<Location>> by_pack;
  for (const Location& at : removals) by_pack[at.pack].push_back(at);
  for (const auto& [pack, records] : by_pack) {
    Result<std::shared_ptr<os::File>> file = files.get(pack);
    if (!file && file.error().code == ENOENT) continue;  // Deleted whole, before a crash.
    if (!file) return std::move(file).error();
    COFFER_TRY(const std::vector<Location> marked, mark(**file, records));
    COFFER_DO(punch(**file, marked));
  }
  return {};
}

}  // namespace coffer::pack
