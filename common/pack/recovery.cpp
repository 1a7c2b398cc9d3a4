#include "common/pack/recovery.h"

#include <algorithm>
#include <cerrno>
#include <unordered_map>
#include <utility>

#include "common/base/log.h"
#include "common/pack/record.h"
#include "common/pack/salvage.h"
#include "common/pack/walk.h"

namespace coffer::pack {
namespace {

/// What becomes of a payload that does not match its id, in a part of a pack that may never have been synced.
enum class Rot {
  drop,  ///< Nobody was told that it is stored; being absent, it is sent again.
  keep,  ///< A person asked for a new index: nothing is lost over that; check() names it.
};

std::string place(std::uint64_t pack, std::uint64_t offset) {
  return "pack " + std::to_string(pack) + " at " + std::to_string(offset);
}

/// Takes what lies behind the scanned part of one pack into the index.
class Catcher {
 public:
  Catcher(Index& index, PackFiles& files, std::uint64_t pack, Rot rot, ScanReport& report)
      : index_(index), files_(files), pack_(pack), rot_(rot), report_(report) {}

  /// `scanned` is 0 where the index does not say how far it has seen the pack.
  Result<void> run(std::uint64_t scanned, bool is_last) {
    is_last_ = is_last;
    is_known_ = scanned != 0;
    // A pack is synced whole before the next one is made: only the last can hold what a power cut tore.
    may_be_unsynced_ = is_last_ || is_known_;
    verify_ = rot_ == Rot::drop && may_be_unsynced_;
    COFFER_TRY(file_, files_.get(pack_));
    COFFER_TRY(std::uint64_t file_bytes, file_->size());
    if (scanned <= kPackHeaderBytes) {
      COFFER_DO(check_header());
      scanned = kPackHeaderBytes;
      file_bytes = std::max(file_bytes, scanned);
    }
    if (file_bytes < scanned) return shortened(file_bytes);
    if (file_bytes == scanned && is_known_) return {};
    return scan(scanned, file_bytes);
  }

 private:
  Result<void> scan(std::uint64_t from, std::uint64_t file_bytes) {
    COFFER_TRY(const WalkEnd end, walk(*file_, from, file_bytes,
                                       [&](std::uint64_t at, const RecordHeader& header) { return take(at, header); }));
    for (const Gap& gap : end.gaps)
      damage(place(pack_, gap.offset), std::to_string(gap.bytes) + " bytes are no record");
    IndexChange change;
    change.scanned[pack_] = file_bytes;
    if (end.torn) COFFER_DO(cut_or_report(end.offset, file_bytes, change));
    const bool ends_in_gap = !end.gaps.empty() && end.gaps.back().offset + end.gaps.back().bytes == file_bytes;
    const bool keeps_tail = ends_in_gap || (end.torn && change.scanned[pack_] == file_bytes);
    // What the index names counts as stored, and a killed process may have left it in the page cache alone.
    COFFER_DO(file_->sync());
    // Before `scanned` moves behind them, and before there is a next pack: nobody looks again after that whether the
    // records of this one are whole.
    COFFER_DO(carry_out_removals(files_, spare_));
    if (keeps_tail && is_last_) COFFER_DO(begin_next_pack(change));
    return write_rows(std::move(change));
  }

  Result<void> cut_or_report(std::uint64_t tail, std::uint64_t file_bytes, IndexChange& change) {
    const std::string bytes = std::to_string(file_bytes - tail) + " bytes";
    if (!is_last_ || !is_known_) {
      // Without the index's word that nobody was told of it, it may be a stored chunk whose header went bad.
      damage(place(pack_, tail), bytes + " at the end are no record");
      return {};
    }
    damage(place(pack_, tail), "a torn tail of " + bytes + " is cut off");
    change.scanned[pack_] = tail;
    return file_->truncate(tail);
  }

  /// Records are not appended to a tail that is kept: a header in it that claims more bytes than there were would
  /// take them for its payload.
  Result<void> begin_next_pack(IndexChange& change) {
    COFFER_DO(files_.create(pack_ + 1));
    COFFER_DO(files_.sync_folder());
    change.scanned[pack_ + 1] = kPackHeaderBytes;
    return {};
  }

  /// A pack whose header cannot be read is read all the same: its name has the number.
  Result<void> check_header() {
    Bytes header(kPackHeaderBytes);
    const Result<std::size_t> got = file_->read_at(header, 0);
    if (!got && is_unreadable(got.error())) {
      damage(place(pack_, 0), "the header of the pack cannot be read from the disk");
      return {};
    }
    if (!got) return got.error();
    const bool is_good = decode_pack_header(ByteView(header).first(*got)) == pack_;
    if (!is_good) damage(place(pack_, 0), "the header of the pack is damaged, and written anew");
    if (is_good && !may_be_unsynced_) return {};
    return file_->write_at(encode_pack_header(pack_), 0);
  }

  Result<void> shortened(std::uint64_t file_bytes) {
    damage(place(pack_, file_bytes), "the pack is shorter than the index says");
    // The last record that is still named may reach beyond the end: all of the pack is read again.
    COFFER_DO(index_.forget_from(pack_, 0));
    verify_ = true;
    is_known_ = false;
    COFFER_DO(check_header());
    return scan(kPackHeaderBytes, std::max<std::uint64_t>(file_bytes, kPackHeaderBytes));
  }

  Result<void> take(std::uint64_t at, const RecordHeader& header) {
    const Location here{.pack = pack_, .offset = at, .bytes = header.bytes};
    if (header.removed) return spare(here);
    if (verify_) {
      const Result<bool> matches = payload_matches(*file_, at, header);
      if (!matches && is_unreadable(matches.error())) {
        // Whether it was ever acknowledged nobody knows; a failure to open would take all others with it.
        damage(place(pack_, at), "chunk " + header.id.hex() + " cannot be read from the disk");
        unreadable_.push_back({.id = header.id, .at = here});
        return {};
      }
      if (!matches) return matches.error();
      if (!*matches) {
        damage(place(pack_, at), "chunk " + header.id.hex() + " was not written whole, and is dropped");
        return spare(here);
      }
    }
    COFFER_DO(write_back(at, kRecordHeaderBytes + header.bytes));
    COFFER_TRY(const std::optional<Location> first, earlier(header.id));
    if (first) return settle(header, here, *first);
    batch_.emplace(header.id, here);
    report_.chunks += 1;
    report_.bytes += header.bytes;
    return {};
  }

  /// Its header stays, so that the records behind it are found.
  Result<void> spare(const Location& here) {
    spare_.push_back(here);
    return write_back(here.offset, kRecordHeaderBytes);
  }

  /// Writes the same bytes once more, so that the next sync() does write them: a process before this one may have had
  /// an fsync fail, and the kernel then keeps what it could not write in the page cache as if it had (fsync(2)).
  Result<void> write_back(std::uint64_t at, std::uint64_t bytes) {
    if (!may_be_unsynced_) return {};
    Bytes same(bytes);
    const Result<std::size_t> got = file_->read_at(same, at);
    // An unreadable sector is not in the page cache; a payload that is not compared stays there for check() to name it.
    if (!got) return is_unreadable(got.error()) ? Result<void>() : Result<void>(got.error());
    return file_->write_at(ByteView(same).first(*got), at);
  }

  Result<std::optional<Location>> earlier(const object::ChunkId& id) {
    if (const auto found = batch_.find(id); found != batch_.end()) return std::optional<Location>(found->second);
    return index_.find(id);
  }

  /// Of two records of one chunk the good one stays, so that a later removal does not leave the other behind.
  Result<void> settle(const RecordHeader& header, const Location& here, const Location& first) {
    COFFER_TRY(const std::shared_ptr<os::File> file, files_.get(first.pack));
    RecordHeader there = header;
    there.bytes = first.bytes;
    const Result<bool> first_matches = payload_matches(*file, first.offset, there);
    if (!first_matches && !is_unreadable(first_matches.error())) return first_matches.error();
    bool first_stays = first_matches && *first_matches;
    if (!first_matches) {
      // The disk may be able to read it again, so it goes only where the other copy is known to be good.
      const Result<bool> here_matches = payload_matches(*file_, here.offset, header);
      if (!here_matches && !is_unreadable(here_matches.error())) return here_matches.error();
      first_stays = !here_matches || !*here_matches;
    }
    spare_.push_back(first_stays ? here : first);
    if (first_stays) return {};
    if (batch_.erase(header.id) == 0) moved_.push_back({.id = header.id, .at = first});
    batch_.emplace(header.id, here);
    return {};
  }

  Result<void> write_rows(IndexChange change) {
    for (const auto& [id, at] : batch_) change.added.push_back({.id = id, .at = at});
    std::ranges::sort(change.added, {}, [](const Entry& entry) { return entry.at.offset; });
    change.removed = std::move(moved_);
    change.unreadable = std::move(unreadable_);
    return index_.apply(change);
  }

  void damage(const std::string& where, const std::string& what) {
    log::warn("pack.damage", {{"where", where}, {"what", what}});
    report_.damage.push_back(where + ": " + what);
  }

  Index& index_;
  PackFiles& files_;
  const std::uint64_t pack_;
  const Rot rot_;
  bool is_last_ = false;
  bool is_known_ = false;  ///< The index says up to where the pack is stored.
  bool may_be_unsynced_ = false;
  bool verify_ = false;
  ScanReport& report_;
  std::shared_ptr<os::File> file_;
  std::unordered_map<object::ChunkId, Location> batch_;
  std::vector<Location> spare_;  ///< Records to be removed: removed ones whose space may not be back, copies, ruins.
  std::vector<Entry> unreadable_;
  std::vector<Entry> moved_;  ///< Rows whose record turned out to be bad.
};

Result<void> forget_missing_packs(Index& index, const std::map<std::uint64_t, std::uint64_t>& scanned,
                                  const std::vector<std::uint64_t>& present, ScanReport& report) {
  COFFER_TRY(const auto totals, index.totals());
  for (const auto& [pack, offset] : scanned) {
    if (std::ranges::binary_search(present, pack)) continue;
    if (totals.contains(pack)) {
      report.damage.push_back("pack " + std::to_string(pack) + ": the file is missing");
      log::error("pack.missing", {{"pack", pack}});
    }
    COFFER_DO(index.forget_pack(pack));
  }
  return {};
}

Result<void> catch_up(Index& index, PackFiles& files, Rot rot, ScanReport& report) {
  COFFER_TRY(const auto scanned, index.scanned());
  COFFER_TRY(const std::vector<std::uint64_t> present, files.list());
  COFFER_DO(forget_missing_packs(index, scanned, present, report));
  // First, because one of them may lie behind the scanned part, and would be taken for a stored record there.
  COFFER_TRY(const std::vector<Location> decided, index.removals());
  COFFER_DO(carry_out_removals(files, decided));
  for (const std::uint64_t pack : present) {
    const auto known = scanned.find(pack);
    const std::uint64_t from = known == scanned.end() ? 0 : known->second;
    COFFER_DO(Catcher(index, files, pack, rot, report).run(from, pack == present.back()));
  }
  if (!present.empty()) COFFER_DO(files.sync_folder());
  COFFER_TRY(const std::vector<Location> done, index.removals());  // Catchers carried theirs out.
  return index.finish_removals(done, {});
}

Result<void> delete_index(os::Disk& disk, const std::string& folder) {
  COFFER_TRY(const std::vector<std::string> present, disk.list(folder));
  for (const std::string& name : Index::file_names()) {
    if (std::ranges::binary_search(present, name)) COFFER_DO(disk.remove(folder + '/' + name));
  }
  return {};
}

Result<std::unique_ptr<Index>> open_in_step(os::Disk& disk, const std::string& folder, PackFiles& files, Rot rot,
                                            ScanReport& report) {
  COFFER_TRY(std::unique_ptr<Index> index, Index::open(disk, folder));
  COFFER_DO(index->read_all());
  COFFER_DO(catch_up(*index, files, rot, report));
  return index;
}

}  // namespace

Result<std::unique_ptr<Index>> open_index(os::Disk& disk, const std::string& folder, PackFiles& files,
                                          ScanReport& report) {
  Result<std::unique_ptr<Index>> index = open_in_step(disk, folder, files, Rot::drop, report);
  if (index || index.error().fault != Fault::corrupt) return index;
  log::warn("pack.index_rebuild", {{"why", index.error().what}});
  COFFER_DO(delete_index(disk, folder));
  report = {};
  return open_in_step(disk, folder, files, Rot::drop, report);
}

Result<void> rebuild_index(os::Disk& disk, const std::string& folder, PackFiles& files, ScanReport& report) {
  COFFER_DO(delete_index(disk, folder));
  COFFER_TRY(const std::unique_ptr<Index> index, open_in_step(disk, folder, files, Rot::keep, report));
  return {};
}

}  // namespace coffer::pack
