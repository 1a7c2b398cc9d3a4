#include "fs/meta/store.h"

#include <algorithm>

#include "fs/meta/read.h"

namespace coffer::meta {
namespace {

/// Commits whose hashes are remembered: more than a writer makes in half a day of writing without a pause.
constexpr std::uint64_t kPinsMax = 65'536;
constexpr std::size_t kKnownMax = 65'536;

template <class Run>
auto with_counters(const Counters& counters, Run run) {
  return run(
      "UPDATE state SET version = ?, inode_next = ?, cookie_next = ?, group_next = ?, files = ?, bytes = ?, "
      "sealed_bytes = ?, head_seq = ?, head_hash = ?",
      counters.version, counters.inode_next, counters.cookie_next, counters.group_next, counters.files, counters.bytes,
      counters.sealed_bytes, counters.head_seq, counters.head_hash);
}

}  // namespace

Result<void> Store::load_counters() {
  Rows rows = connection_.query(
      "SELECT version, inode_next, cookie_next, group_next, files, bytes, sealed_bytes, head_seq, head_hash FROM "
      "state");
  COFFER_TRY(const bool found, rows.step());
  if (!found) return Error{Fault::corrupt, 0, "the tree has lost its counters"};
  counters_ = {.version = rows.u64(0),
               .inode_next = rows.u64(1),
               .cookie_next = rows.u64(2),
               .group_next = rows.u64(3),
               .files = rows.u64(4),
               .bytes = rows.u64(5),
               .sealed_bytes = rows.u64(6),
               .head_seq = rows.u64(7),
               .head_hash = rows.id<object::CommitHash>(8)};
  return {};
}

Result<void> Store::load() {
  COFFER_DO(transactions_.recover());
  COFFER_DO(load_counters());
  return transact(Sharing::alone, [this]() -> Result<void> {
    std::vector<InodeId> unlinked;
    COFFER_DO(for_each(connection_.query("SELECT ino FROM inode WHERE links = 0 AND unlinked = 1"),
                       [&](const Rows& row) { unlinked.emplace_back(row.u64(0)); }));
    for (const InodeId inode : unlinked) COFFER_DO(drop_unlinked(inode));

    // Chunks whose bytes were spooled, but not recorded.
    std::vector<ChunkRow> unused;
    Rows found = connection_.query(
        "SELECT key, id, state, sealed_bytes, plain_bytes FROM chunk WHERE refs = 0 AND state < 3 AND flight = 0");
    COFFER_DO(for_each(std::move(found), [&](const Rows& row) { unused.push_back(read::chunk_row(row)); }));
    for (const ChunkRow& row : unused) COFFER_DO(drop_chunk(row));

    return for_each(connection_.query("SELECT key FROM chunk WHERE state = 0"),
                    [&](const Rows& row) { keeps_.keep_chunk(ChunkKey(row.integer(0))); });
  });
}

Result<void> Store::commit(const Counters& before) {
  COFFER_DO(note_counters(before));
  return transactions_.commit();
}

Result<void> Store::note_counters(const Counters& before) {
  if (counters_ != before) {
    with_counters(counters_, [this](const auto&... sql_and_values) { connection_.log(sql_and_values...); });
    are_counters_late_ = true;
  }
  if (counters_.head_seq != before.head_seq) {
    COFFER_DO(connection_.run("INSERT OR REPLACE INTO pinned VALUES (?, ?)", counters_.head_seq, counters_.head_hash));
    COFFER_DO(connection_.run("DELETE FROM pinned WHERE seq <= ?",
                              counters_.head_seq - std::min(counters_.head_seq, kPinsMax)));
  }
  return {};
}

Result<void> Store::begin_load() {
  pieces_of_load_ = std::make_unique<PiecesOfLoad>();
  return connection_.run("BEGIN IMMEDIATE");
}

Result<void> Store::apply_loaded(const object::Commit& commit, const Operations& operations,
                                 const object::CommitHash& hash) {
  const Counters before = counters_;
  COFFER_DO(check_next(commit));
  COFFER_DO(apply_next(commit, operations, hash));
  dropped_.clear();
  return note_counters(before);
}

Result<void> Store::end_load() {
  COFFER_DO(write_back());
  return connection_.run("COMMIT");
}

Result<void> Store::write_back() {
  if (known_owed_.size() > kKnownMax) known_owed_.clear();
  if (are_counters_late_) {
    COFFER_DO(with_counters(counters_,
                            [this](const auto&... sql_and_values) { return connection_.run_late(sql_and_values...); }));
    are_counters_late_ = false;
  }
  return connection_.inodes().write_back(connection_);
}

void Store::roll_back(const Counters& before) {
  transactions_.roll_back();
  counters_ = before;
  known_owed_.clear();
  known_open_.clear();
  dropped_.clear();
}

}  // namespace coffer::meta
