// What is owed because of a change; TREE.md has the rules.
#include <algorithm>

#include "fs/meta/read.h"
#include "fs/meta/store.h"

namespace coffer::meta {

Result<bool> Store::is_owed(InodeId inode) { return connection_.any("SELECT 1 FROM owed_inode WHERE ino = ?", inode); }

Result<void> Store::owe(const Attributes& inode) {
  const std::uint64_t version = ++counters_.version;
  if (inode.links == 0) return {};  // It is deleted for the server already.
  if (!known_owed_.insert(inode.inode).second) return {};
  bool is_drafted = false;
  {
    Rows rows = connection_.query("SELECT flight, next_first FROM owed_inode WHERE ino = ?", inode.inode);
    COFFER_TRY(const bool found, rows.step());
    if (found && (rows.integer(0) == 0 || rows.integer(1) != 0)) return {};
    is_drafted = found;
  }
  if (is_drafted) {
    return connection_.run("UPDATE owed_inode SET next_first = ? WHERE ino = ?", version, inode.inode);
  }
  COFFER_DO(connection_.run("INSERT INTO owed_inode VALUES (?, ?, 0, ?, 0, 0, 0, 0)", inode.inode, version, now_ns()));
  return let_names_wait(inode.inode);
}

Result<void> Store::set_waits(Rows found, bool waits) {
  std::vector<std::pair<InodeId, std::string>> names;
  COFFER_DO(for_each(std::move(found), [&](const Rows& row) { names.emplace_back(row.u64(0), row.text(1)); }));
  for (const auto& [parent, name] : names) {
    COFFER_DO(connection_.run("UPDATE owed_name SET waits = ? WHERE parent = ? AND name = ?", waits, parent,
                              std::string_view(name)));
  }
  return {};
}

Result<void> Store::let_names_wait(InodeId inode) {
  return set_waits(connection_.query("SELECT o.parent, o.name FROM name n CROSS JOIN owed_name o ON o.parent = "
                                     "n.parent AND o.name = n.name WHERE n.ino = ? AND o.waits = 0",
                                     inode),
                   true);
}

Result<void> Store::let_names_go() {
  return set_waits(connection_.query(
                       "SELECT o.parent, o.name FROM owed_inode i CROSS JOIN name n ON n.ino = i.ino CROSS JOIN "
                       "owed_name o ON o.parent = n.parent AND o.name = n.name WHERE i.flight > 0 AND i.next_first = 0 "
                       "AND o.waits = 1"),
                   false);
}

Result<void> Store::owe_new(InodeId inode) {
  known_owed_.insert(inode);
  return connection_.run("INSERT INTO owed_inode VALUES (?, ?, 0, ?, 1, 0, 0, 0)", inode, ++counters_.version,
                         now_ns());
}

Result<void> Store::owe_deletion(InodeId inode) {
  known_owed_.erase(inode);
  const std::uint64_t version = ++counters_.version;
  bool is_owed = false;
  bool is_new = false;
  bool is_drafted = false;
  {
    Rows rows = connection_.query("SELECT is_new, flight FROM owed_inode WHERE ino = ?", inode);
    COFFER_TRY(is_owed, rows.step());
    if (is_owed) {
      is_new = rows.integer(0) != 0;
      is_drafted = rows.integer(1) != 0;
    }
  }
  COFFER_DO(connection_.run("DELETE FROM owed_range WHERE ino = ? AND flight = 0", inode));
  if (is_new && !is_drafted) return connection_.run("DELETE FROM owed_inode WHERE ino = ?", inode);
  if (!is_owed) {
    return connection_.run("INSERT INTO owed_inode VALUES (?, ?, 0, ?, 0, 1, 0, 0)", inode, version, now_ns());
  }
  return connection_.run(
      "UPDATE owed_inode SET deleted = 1, unstored = 0, "
      "next_first = iif(flight > 0 AND next_first = 0, ?, next_first) WHERE ino = ?",
      version, inode);
}

Result<void> Store::owe_range(InodeId inode, Range range) {
  if (range.begin >= range.end) return {};
  bool met_any = false;
  {
    // They do not touch: what begins before this one is the last that can reach it.
    Rows rows = connection_.query(
        "SELECT begin, end FROM owed_range WHERE ino = ? AND flight = 0 AND begin <= ? ORDER BY begin DESC", inode,
        range.end);
    for (bool may_reach = true; may_reach;) {
      COFFER_TRY(const bool found, rows.step());
      if (!found) break;
      const Range met{rows.u64(0), rows.u64(1)};
      may_reach = met.begin > range.begin;
      if (!met_any && !may_reach && met.end >= range.end) return {};
      if (met.end < range.begin) break;
      range = {std::min(range.begin, met.begin), std::max(range.end, met.end)};
      met_any = true;
    }
  }
  if (met_any) {
    COFFER_DO(connection_.run("DELETE FROM owed_range WHERE ino = ? AND flight = 0 AND begin >= ? AND begin <= ?",
                              inode, range.begin, range.end));
  }
  return connection_.run("INSERT INTO owed_range VALUES (?, 0, ?, ?)", inode, range.begin, range.end);
}

Result<void> Store::add_unstored(InodeId inode, std::int64_t extents) {
  if (extents == 0) return {};
  return connection_.run("UPDATE owed_inode SET unstored = unstored + ? WHERE ino = ? AND deleted = 0", extents, inode);
}

Result<std::uint64_t> Store::group_of(const Name& name) {
  Rows rows = connection_.query("SELECT grp FROM owed_name WHERE parent = ? AND name = ?", name.parent, name.name);
  COFFER_TRY(const bool found, rows.step());
  return found ? rows.u64(0) : 0;
}

Result<std::uint64_t> Store::joined(std::uint64_t a, std::uint64_t b) {
  if (a == 0 && b == 0) return counters_.group_next++;
  if (a == b || b == 0) return a;
  if (a == 0) return b;
  // The older group is the larger one as a rule, and stays as it is.
  COFFER_DO(connection_.run("UPDATE owed_name SET grp = ? WHERE grp = ? AND grp > 0", std::min(a, b), std::max(a, b)));
  return std::min(a, b);
}

Result<std::uint64_t> Store::moves_group() {
  Rows rows = connection_.query("SELECT grp FROM owed_name WHERE moves > 0 LIMIT 1");
  COFFER_TRY(const bool found, rows.step());
  return found ? rows.u64(0) : 0;
}

Result<void> Store::owe_name(const Name& name, InodeId before, InodeId after, std::uint64_t group, bool moves) {
  const std::uint64_t version = ++counters_.version;
  // Whoever gives a name to an inode has changed its ctime: it is owed.
  const bool waits = after != InodeId();
  bool is_owed = false;
  bool leads_back = false;
  {
    Rows rows =
        connection_.query("SELECT base, flight FROM owed_name WHERE parent = ? AND name = ?", name.parent, name.name);
    COFFER_TRY(is_owed, rows.step());
    if (is_owed) leads_back = rows.integer(1) == 0 && InodeId(rows.u64(0)) == after;
  }
  if (leads_back) {
    return connection_.run("DELETE FROM owed_name WHERE parent = ? AND name = ?", name.parent, name.name);
  }
  if (!is_owed) {
    return connection_.run("INSERT INTO owed_name VALUES (?, ?, ?, ?, 0, ?, ?, ?, ?, 0, 0)", name.parent, name.name,
                           before, version, now_ns(), group, waits, moves);
  }
  return connection_.run(
      "UPDATE owed_name SET waits = ?3, moves = max(moves, ?4), grp = iif(?5 > 0, ?5, grp), "
      "next_first = iif(flight > 0 AND next_first = 0, ?6, next_first) WHERE parent = ?1 AND name = ?2",
      name.parent, name.name, waits, moves, group, version);
}

Result<void> Store::keep_reachable(InodeId inode, const Name& lost, std::uint64_t group) {
  // Committed, or about to be.
  COFFER_TRY(const bool was_committed, connection_.any("SELECT 1 FROM owed_name WHERE parent = ?1 AND name = ?2 AND "
                                                       "(base = ?3 OR (flight > 0 AND sent = ?3))",
                                                       lost.parent, lost.name, inode));
  if (!was_committed && group == 0) return {};

  // A name that is not owed is a committed one. With it nothing can be lost.
  COFFER_TRY(const bool has_committed_name,
             connection_.any("SELECT 1 FROM name n WHERE ino = ? AND NOT EXISTS "
                             "(SELECT 1 FROM owed_name o WHERE o.parent = n.parent AND o.name = n.name) LIMIT 1",
                             inode));
  if (has_committed_name) return {};

  InodeId parent;
  std::string name;
  std::uint64_t other_group = 0;
  {
    Rows rows = connection_.query(
        "SELECT o.parent, o.name, o.grp FROM name n JOIN owed_name o ON o.parent = n.parent AND o.name = n.name "
        "WHERE n.ino = ? LIMIT 1",
        inode);
    COFFER_TRY(const bool found, rows.step());
    if (!found) return {};
    parent = InodeId(rows.u64(0));
    name = rows.text(1);
    other_group = rows.u64(2);
  }
  COFFER_TRY(const std::uint64_t both, joined(group, other_group));
  constexpr const char* kSetGroup = "UPDATE owed_name SET grp = ? WHERE parent = ? AND name = ?";
  COFFER_DO(connection_.run(kSetGroup, both, parent, std::string_view(name)));
  return connection_.run(kSetGroup, both, lost.parent, lost.name);
}

}  // namespace coffer::meta
