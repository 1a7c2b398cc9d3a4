// Walks over all chunks: for_each() and check().
#include <algorithm>
#include <cerrno>
#include <unordered_map>
#include <unordered_set>
#include <utility>

#include "common/pack/record.h"
#include "common/pack/salvage.h"
#include "common/pack/store_state.h"
#include "common/pack/walk.h"

namespace coffer::pack {
namespace {

constexpr std::size_t kRowsAtOnce = 1000;

std::string place(std::uint64_t pack, std::uint64_t offset) {
  return "pack " + std::to_string(pack) + " at " + std::to_string(offset) + ": ";
}

}  // namespace

/// Compares one pack with its rows. Chunks may come and go meanwhile: what looks wrong is looked up again.
class PackStore::State::PackCheck {
 public:
  PackCheck(State& state, std::uint64_t pack, bool read_data, ScanReport& report)
      : state_(state), pack_(pack), read_data_(read_data), report_(report) {}

  Result<void> run(std::uint64_t end) {
    COFFER_DO(load_rows(end));
    Result<std::shared_ptr<os::File>> file = state_.files->get(pack_);
    if (!file && file.error().code == ENOENT) return report_missing();  // Deleted since, or lost with its chunks.
    COFFER_TRY(file_, std::move(file));
    Bytes header(kPackHeaderBytes);
    const Result<std::size_t> got = file_->read_at(header, 0);
    if (!got && !is_unreadable(got.error())) return got.error();
    if (!got || decode_pack_header(ByteView(header).first(*got)) != pack_)
      damage(0, "the header of the pack is damaged");
    report_unreadable(end);
    COFFER_TRY(const WalkEnd walked,
               walk(*file_, kPackHeaderBytes, end,
                    [&](std::uint64_t at, const RecordHeader& found) { return take(at, found); }));
    for (const Gap& gap : walked.gaps) damage(gap.offset, std::to_string(gap.bytes) + " bytes are no record");
    if (walked.torn) damage(walked.offset, std::to_string(end - walked.offset) + " bytes at the end are no record");
    return report_missing();
  }

 private:
  Result<void> load_rows(std::uint64_t end) {
    std::uint64_t from = 0;
    for (;;) {
      COFFER_TRY(const std::vector<Entry> rows, state_.index->rows(pack_, from, kRowsAtOnce));
      for (const Entry& row : rows) {
        if (row.at.pack != pack_ || row.at.offset >= end) return {};
        rows_.emplace(row.at.offset, row);
        from = row.at.offset + 1;
      }
      if (rows.size() < kRowsAtOnce) return {};
    }
  }

  Result<void> take(std::uint64_t offset, const RecordHeader& header) {
    const auto row = rows_.find(offset);
    const bool has_row = row != rows_.end() && row->second.id == header.id && row->second.at.bytes == header.bytes;
    if (header.removed || !has_row) return take_without_row(offset, header);
    rows_.erase(row);
    if (read_data_) {
      const Result<bool> matches = payload_matches(*file_, offset, header);
      if (!matches && !is_unreadable(matches.error())) return matches.error();
      if (!matches || !*matches) {
        COFFER_TRY(const bool is_here, still_here(header.id, offset));
        if (!is_here) return {};
        report_.bad.push_back(header.id);
      }
    }
    report_.chunks += 1;
    report_.bytes += header.bytes;
    return {};
  }

  Result<void> take_without_row(std::uint64_t offset, const RecordHeader& header) {
    if (header.removed) return {};  // A row that still names it is reported as missing.
    COFFER_TRY(const std::optional<Location> known, state_.locate(header.id));
    if (known && *known == Location{.pack = pack_, .offset = offset, .bytes = header.bytes}) return {};
    // A second copy; or one that is on its way out, or was named already.
    if (known || state_.is_leaving(header.id, {.pack = pack_, .offset = offset, .bytes = header.bytes})) return {};
    if (state_.is_unreadable_chunk(header.id)) return {};
    COFFER_TRY(const bool is_stored, is_still_stored(offset));
    if (is_stored) damage(offset, "the index lacks chunk " + header.id.hex());
    return {};
  }

  Result<bool> is_still_stored(std::uint64_t offset) {
    Bytes bytes(kRecordHeaderBytes);
    COFFER_TRY(const std::size_t got, file_->read_at(bytes, offset));
    const auto header = decode_record_header(ByteView(bytes).first(got));
    return header && !header->removed;
  }

  Result<bool> still_here(const object::ChunkId& id, std::uint64_t offset) {
    COFFER_TRY(const std::optional<Location> at, state_.locate(id));
    return at && at->pack == pack_ && at->offset == offset;
  }

  Result<void> report_missing() {
    for (const auto& [offset, row] : rows_) {
      COFFER_TRY(const bool is_here, still_here(row.id, offset));
      if (!is_here) continue;
      damage(offset, "the record of chunk " + row.id.hex() + " cannot be read");
      report_.bad.push_back(row.id);
    }
    return {};
  }

  /// What the disk could not read, and of which no good copy came.
  void report_unreadable(std::uint64_t end) {
    const MutexLock lock(state_.table_mutex);
    for (const auto& [id, at] : state_.unreadable) {
      if (at.pack != pack_ || at.offset >= end) continue;
      damage(at.offset, "chunk " + id.hex() + " cannot be read from the disk");
      report_.bad.push_back(id);
    }
  }

  void damage(std::uint64_t offset, const std::string& what) { report_.damage.push_back(place(pack_, offset) + what); }

  State& state_;
  const std::uint64_t pack_;
  const bool read_data_;
  ScanReport& report_;
  std::shared_ptr<os::File> file_;
  std::unordered_map<std::uint64_t, Entry> rows_;
};

bool PackStore::State::is_leaving(const object::ChunkId& id, const Location& at) {
  const MutexLock lock(table_mutex);
  const auto [first, last] = leaving.equal_range(id);
  return std::any_of(first, last, [&](const auto& one) { return one.second == at; });
}

bool PackStore::State::is_unreadable_chunk(const object::ChunkId& id) {
  const MutexLock lock(table_mutex);
  return unreadable.contains(id);
}

Result<ScanReport> PackStore::check(bool read_data) {
  COFFER_DO(state_->sync(State::Rows::now));
  ScanReport report;
  COFFER_TRY(const auto scanned, state_->index->scanned());
  for (const auto& [pack, end] : scanned) COFFER_DO(State::PackCheck(*state_, pack, read_data, report).run(end));
  return report;
}

Result<void> PackStore::for_each(const std::function<Result<void>(const StoredChunk&)>& each) {
  std::vector<StoredChunk> waiting;
  std::unordered_set<object::ChunkId> seen;
  {
    const MutexLock lock(state_->table_mutex);
    for (const auto& [id, at] : state_->pending) waiting.push_back({.id = id, .bytes = at.bytes});
  }
  for (const StoredChunk& chunk : waiting) {
    seen.insert(chunk.id);
    COFFER_DO(each(chunk));
  }
  Location from;
  for (;;) {
    COFFER_TRY(const std::vector<Entry> rows, state_->index->rows(from.pack, from.offset, kRowsAtOnce));
    for (const Entry& row : rows) {
      from = {.pack = row.at.pack, .offset = row.at.offset + 1, .bytes = 0};
      if (seen.contains(row.id) || state_->is_leaving(row.id, row.at)) continue;
      COFFER_DO(each({.id = row.id, .bytes = row.at.bytes}));
    }
    if (rows.size() < kRowsAtOnce) return {};
  }
}

}  // namespace coffer::pack
