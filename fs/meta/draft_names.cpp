// Names: all that may be ready are candidates, then those that break a rule are taken out until none does.
#include <algorithm>

#include "fs/meta/draft.h"
#include "fs/meta/read.h"

namespace coffer::meta {
namespace {

constexpr std::size_t kNamesMax = 8000;
constexpr std::size_t kNamesBytesMax = 768u << 10;
constexpr std::size_t kNameRecordBytes = 32;
/// Names that wait for nothing of their own but may be blocked by others.
constexpr std::size_t kExaminedMax = 10'000;
/// A larger group would not fit into a commit beside what else is picked: its names then go one by one.
constexpr std::size_t kGroupBytesMax = 1u << 20;

}  // namespace

Result<void> Drafting::pick_names() {
  for (const PickedInode& picked : inodes_) {
    if (picked.is_whole) COFFER_DO(add_names_of(picked.inode));
  }
  COFFER_DO(add_ready_names());
  for (bool changed = true; changed;) {
    changed = false;
    for (Unit& unit : units_) {
      if (!unit.is_picked) continue;
      COFFER_TRY(unit.is_picked, holds(unit));
      if (!unit.is_picked) changed = true;
    }
  }
  return {};
}

Result<void> Drafting::add_names_of(InodeId inode) {
  std::vector<NameKey> names;
  COFFER_DO(for_each(connection_.query("SELECT parent, name FROM name WHERE ino = ? LIMIT ?", inode, kNamesMax),
                     [&](const Rows& row) { names.emplace_back(row.u64(0), row.text(1)); }));
  for (const NameKey& key : names) {
    if (candidates_.size() >= kNamesMax || names_bytes_ >= kNamesBytesMax) break;
    COFFER_DO(add_candidate(key));
  }
  return {};
}

Result<void> Drafting::add_ready_names() {
  std::vector<std::pair<NameKey, std::uint64_t>> ready;
  const auto collect = [&](std::uint64_t after) {
    return for_each(connection_.query("SELECT parent, name, first FROM owed_name WHERE waits = 0 AND first > ? "
                                      "ORDER BY first LIMIT ?",
                                      after, kExaminedMax - ready.size()),
                    [&](const Rows& row) { ready.emplace_back(NameKey(row.u64(0), row.text(1)), row.u64(2)); });
  };
  const std::uint64_t cursor = std::exchange(store_.names_cursor_, 0);
  COFFER_DO(collect(cursor));
  if (cursor > 0 && ready.size() < kExaminedMax) COFFER_DO(collect(0));
  for (const auto& [key, first] : ready) {
    if (candidates_.size() >= kNamesMax || names_bytes_ >= kNamesBytesMax) {
      store_.names_cursor_ = first - 1;
      return {};
    }
    COFFER_DO(add_candidate(key));
  }
  if (ready.size() >= kExaminedMax) store_.names_cursor_ = ready.back().second;
  return {};
}

Result<void> Drafting::add_candidate(const NameKey& key) {
  std::vector<NameKey> wanted{key};
  while (!wanted.empty()) {
    const NameKey next = std::move(wanted.back());
    wanted.pop_back();
    if (candidates_.contains(next)) continue;
    COFFER_DO(add_unit_of(next, wanted));
  }
  return {};
}

Result<void> Drafting::add_unit_of(const NameKey& key, std::vector<NameKey>& wanted) {
  InodeId base;
  std::uint64_t group = 0;
  {
    Rows rows = connection_.query("SELECT base, grp FROM owed_name WHERE parent = ? AND name = ?", key.first,
                                  std::string_view(key.second));
    COFFER_TRY(const bool is_owed, rows.step());
    if (!is_owed) return {};
    base = InodeId(rows.u64(0));
    group = rows.u64(1);
  }
  if (group > 0) {
    COFFER_TRY(const bool added, add_group(group, wanted));
    if (added) return {};
  }
  units_.emplace_back();
  return add_row(key, base, wanted);
}

Result<bool> Drafting::add_group(std::uint64_t group, std::vector<NameKey>& wanted) {
  if (loose_groups_.contains(group)) return false;
  std::vector<std::pair<NameKey, InodeId>> rows;
  std::size_t bytes = 0;
  COFFER_DO(for_each(connection_.query("SELECT parent, name, base FROM owed_name WHERE grp = ? AND grp > 0", group),
                     [&](const Rows& row) {
                       rows.emplace_back(NameKey(row.u64(0), row.text(1)), InodeId(row.u64(2)));
                       bytes += rows.back().first.second.size() + kNameRecordBytes;
                     }));
  if (bytes > kGroupBytesMax) {
    loose_groups_.insert(group);  // Not read again for each of its names.
    return false;
  }
  units_.emplace_back();
  for (const auto& [key, base] : rows) COFFER_DO(add_row(key, base, wanted));
  return true;
}

Result<void> Drafting::add_row(const NameKey& key, InodeId base, std::vector<NameKey>& wanted) {
  COFFER_TRY(const InodeId now, read::meaning(connection_, key.first, key.second));
  candidates_[key] = {.base = base, .now = now, .unit = units_.size() - 1};
  units_.back().names.push_back(key);
  names_bytes_ += key.second.size() + kNameRecordBytes;
  if (now == InodeId() || key.first == kRootInode) return {};
  // The name above may have to come along.
  COFFER_TRY(const FolderName* const folder, folder_name(key.first));
  if (folder->now) wanted.push_back(*folder->now);
  return {};
}

Result<const Drafting::FolderName*> Drafting::folder_name(InodeId folder) {
  const auto known = folder_names_.find(folder);
  if (known != folder_names_.end()) return &known->second;
  FolderName name;
  {
    Rows rows = connection_.query(
        "SELECT n.parent, n.name, o.parent IS NULL FROM name n LEFT JOIN owed_name o "
        "ON o.parent = n.parent AND o.name = n.name WHERE n.ino = ?",
        folder);
    COFFER_TRY(const bool found, rows.step());
    if (found) name.now.emplace(rows.u64(0), rows.text(1));
    name.is_committed = found && rows.integer(2) != 0;
  }
  {
    Rows rows = connection_.query("SELECT parent, name FROM owed_name WHERE base = ? AND base > 0", folder);
    COFFER_TRY(const bool found, rows.step());
    if (found) name.was.emplace(rows.u64(0), rows.text(1));
  }
  return &folder_names_.emplace(folder, std::move(name)).first->second;
}

bool Drafting::is_picked(const NameKey& key) const {
  const auto found = candidates_.find(key);
  return found != candidates_.end() && units_[found->second.unit].is_picked;
}

Result<bool> Drafting::holds(const Unit& unit) {
  for (const NameKey& key : unit.names) {
    const Candidate& candidate = candidates_.at(key);
    COFFER_TRY(const bool known, target_is_known(candidate));
    if (!known) return false;
    if (candidate.now != InodeId()) {
      COFFER_TRY(const bool reachable, parent_is_reachable(key.first));
      if (!reachable) return false;
    }
    COFFER_TRY(const bool empty, leaves_no_child_behind(candidate));
    if (!empty) return false;
  }
  return true;
}

Result<std::vector<InodeId>> Drafting::holding_back(InodeId inode) {
  std::vector<NameKey> names;
  // Of a folder also the names in it, and of whatever it is the names that lead there.
  COFFER_DO(for_each(connection_.query("SELECT parent, name FROM owed_name WHERE parent = ?1 UNION ALL "
                                       "SELECT parent, name FROM owed_name WHERE base = ?1 AND base > 0 UNION ALL "
                                       "SELECT parent, name FROM name WHERE ino = ?1",
                                       inode),
                     [&](const Rows& row) { names.emplace_back(row.u64(0), row.text(1)); }));
  for (int depth = 0; !names.empty() && depth < read::kDepthMax; ++depth) {
    std::vector<NameKey> above;
    for (const NameKey& key : names) {
      COFFER_DO(add_candidate(key));
      Rows rows = connection_.query("SELECT parent, name FROM name WHERE ino = ?", key.first);
      COFFER_TRY(const bool found, rows.step());
      if (found) above.emplace_back(rows.u64(0), rows.text(1));
    }
    std::sort(above.begin(), above.end());
    above.erase(std::unique(above.begin(), above.end()), above.end());
    names = std::move(above);
  }
  std::vector<InodeId> held;
  for (const auto& [key, candidate] : candidates_) {
    if (store_.held_.contains(candidate.now)) held.push_back(candidate.now);
  }
  return held;
}

// R1: a name never leads to an inode whose committed state is not its present one: a rename comes after the data.
Result<bool> Drafting::target_is_known(const Candidate& candidate) {
  if (candidate.now == InodeId() || whole_.contains(candidate.now)) return true;
  COFFER_TRY(const bool is_owed, store_.is_owed(candidate.now));
  return !is_owed;
}

// R2: the parent has a name in the committed state. So it is known there, too.
Result<bool> Drafting::parent_is_reachable(InodeId parent) {
  if (parent == kRootInode) return true;
  COFFER_TRY(const FolderName* const name, folder_name(parent));
  if (!name->now) return false;
  if (name->is_committed || is_picked(*name->now)) return true;
  // Where its present name is not committed, its old one may be.
  return name->was && !is_picked(*name->was);
}

// R3: a folder loses its committed name for good only with, or after, all names committed in it.
Result<bool> Drafting::leaves_no_child_behind(const Candidate& candidate) {
  if (candidate.base == InodeId() || candidate.base == candidate.now) return true;
  COFFER_TRY(const bool is_alive, connection_.any("SELECT 1 FROM name WHERE ino = ? LIMIT 1", candidate.base));
  if (is_alive) return true;
  return all_picked(
      connection_.query("SELECT parent, name FROM owed_name WHERE parent = ? AND base > 0", candidate.base));
}

}  // namespace coffer::meta
