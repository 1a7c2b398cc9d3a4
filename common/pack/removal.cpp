#include <cerrno>
#include <map>

#include "common/pack/record.h"
#include "common/pack/recovery.h"

namespace coffer::pack {
namespace {

Result<void> mark(os::File& file, const std::vector<Location>& records) {
  const std::byte state = kStateRemoved;
  for (const Location& at : records) COFFER_DO(file.write_at(ByteView(&state, 1), at.offset + kStateAt));
  // A hole without its mark would look like a chunk that went bad.
  return file.sync();
}

Result<void> punch(os::File& file, const std::vector<Location>& records) {
  for (const Location& at : records) COFFER_DO(file.punch(at.offset + kRecordHeaderBytes, at.bytes));
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
    COFFER_DO(mark(**file, records));
    COFFER_DO(punch(**file, records));
  }
  return {};
}

}  // namespace coffer::pack
