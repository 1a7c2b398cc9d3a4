// The one way into the log: every check of OPLOG.md, and the commit, in one transaction.
#include <cerrno>
#include <string>

#include "server/oplog/state.h"

namespace coffer::oplog {
namespace {

/// Free bytes that no commit takes: revoking a client, handing on a lease and telling what was found must stay
/// possible.
constexpr std::uint64_t kSparedBytes = 32u << 20;
/// The same of commits of this size that only release chunks: a client must be able to say what may go.
constexpr std::uint64_t kSparedFromReleasesBytes = 8u << 20;
constexpr std::size_t kReleaseBytesMax = 64u << 10;

Result<void> check_room(os::Disk& disk, const std::string& folder, const object::Commit& commit, std::size_t bytes) {
  const Result<std::uint64_t> free = disk.free_bytes(folder);
  const bool only_releases = commit.added.empty() && !commit.released.empty() && bytes <= kReleaseBytesMax;
  if (!free || *free >= bytes + (only_releases ? kSparedFromReleasesBytes : kSparedBytes)) return {};
  return Error{Fault::full, ENOSPC, "the disk is full; no commits are taken until there is room on it again"};
}

/// The receipt of a commit that the log has already at this place, if it is this very one.
Result<std::optional<Bytes>> receipt_of_same(Statements& statements, std::uint64_t seq,
                                             const object::CommitHash& hash) {
  COFFER_TRY(const Lent find, statements.lend("SELECT receipt FROM log_commit WHERE seq = ? AND hash = ?"));
  COFFER_TRY(const bool found, find->bind(1, static_cast<std::int64_t>(seq)).bind(2, hash.bytes()).step());
  if (!found) return std::optional<Bytes>();
  return std::optional(copy_of(find->blob(0)));
}

Result<void> check_stored(const std::vector<object::ChunkId>& ids, const IsStored& is_stored) {
  for (const object::ChunkId& id : ids) {
    COFFER_TRY(const bool stored, is_stored(id));
    if (!stored) return refused(ENOENT, "chunk " + id.hex() + " is not stored here");
  }
  return {};
}

/// Notes what the commit adds and releases; returns by how many the present chunks have grown.
Result<std::int64_t> note_chunks(Statements& statements, const object::Commit& commit, std::int64_t now_ns) {
  std::int64_t growth = 0;
  const auto seq = static_cast<std::int64_t>(commit.seq);
  COFFER_TRY(
      const Lent add,
      statements.lend("INSERT INTO chunk(id, added_seq) VALUES(?, ?) ON CONFLICT DO UPDATE SET added_seq = "
                      "excluded.added_seq, released_seq = NULL, released_ns = NULL WHERE released_seq IS NOT NULL"));
  for (const object::ChunkId& id : commit.added) {
    COFFER_DO(add->bind(1, id.bytes()).bind(2, seq).run());
    growth += statements.changes();
  }
  COFFER_TRY(const Lent release, statements.lend("UPDATE chunk SET released_seq = ?, released_ns = ? "
                                                 "WHERE id = ? AND released_seq IS NULL"));
  for (const object::ChunkId& id : commit.released) {
    COFFER_DO(release->bind(1, seq).bind(2, now_ns).bind(3, id.bytes()).run());
    growth -= statements.changes();
  }
  return growth;
}

Result<std::uint64_t> grow_total(Statements& statements, std::int64_t growth, std::uint64_t commit_bytes) {
  COFFER_TRY(const Lent grow,
             statements.lend("UPDATE total SET chunks = chunks + ?, log_bytes = log_bytes + ? RETURNING chunks"));
  COFFER_TRY(const bool row, grow->bind(1, growth).bind(2, static_cast<std::int64_t>(commit_bytes)).step());
  if (!row || grow->integer(0) < 0) return Error{Fault::corrupt, 0, "the log's count of chunks is damaged"};
  return static_cast<std::uint64_t>(grow->integer(0));
}

Result<void> put_commit(Statements& statements, std::uint64_t seq, const object::CommitHash& hash, ByteView receipt,
                        ByteView bytes) {
  COFFER_TRY(const Lent put, statements.lend("INSERT INTO log_commit(seq, hash, receipt, bytes) VALUES(?, ?, ?, ?)"));
  put->bind(1, static_cast<std::int64_t>(seq)).bind(2, hash.bytes()).bind(3, receipt).bind(4, bytes);
  Result<void> done = put->run();
  put->bind_null(4);  // It may be long, and the statement is kept.
  return done;
}

}  // namespace

Result<Bytes> OpLog::append(ByteView bytes, const object::ClientId& client, const IsStored& is_stored,
                            std::uint64_t log_bytes_max, const Settled& settled) {
  auto decoded = object::decode_commit(bytes);
  if (!decoded) return refused(EINVAL, std::move(decoded).error().what);
  const object::Commit commit = *std::move(decoded);
  if (commit.vault != state_->vault) return refused(EINVAL, "the commit is of another vault");
  const object::CommitHash hash = object::hash_of(bytes);

  std::function<void()> appended;
  Bytes receipt_bytes;
  {
    const MutexLock lock(state_->mutex);
    db::Database& db = state_->db;
    COFFER_TRY(db::Transaction transaction, db::Transaction::begin(db));
    // First of all: a client whose answer was lost may have lost the lease since, and yet has this commit.
    COFFER_TRY(std::optional<Bytes> same, receipt_of_same(state_->statements, commit.seq, hash));
    if (same) return *std::move(same);
    COFFER_TRY(const Head head, state_->head());
    if (commit.seq != head.seq + 1) {
      return refused(ESTALE, "the log ends at commit " + std::to_string(head.seq) + ", commit " +
                                 std::to_string(commit.seq) + " does not follow it");
    }
    if (commit.previous != head.hash) return refused(ESTALE, "the commit follows another one than the log's last");
    if (state_->holder != client || commit.epoch != state_->epoch) {
      return refused(EROFS, "the commit was not made under the vault's current lease");
    }
    COFFER_TRY(const std::uint64_t log_bytes, state_->log_bytes());
    const std::uint64_t counted_bytes = object::counted_commit_bytes(bytes.size(), commit.added.size());
    if (log_bytes + counted_bytes > log_bytes_max) return Error{Fault::full, EDQUOT, "the vault's quota is used up"};
    COFFER_DO(check_room(state_->disk, state_->folder, commit, bytes.size()));
    COFFER_DO(check_stored(commit.added, is_stored));

    const std::int64_t now_ns = state_->now_ns();
    COFFER_TRY(const std::int64_t growth, note_chunks(state_->statements, commit, now_ns));
    COFFER_TRY(const std::uint64_t chunk_count, grow_total(state_->statements, growth, counted_bytes));
    object::Receipt receipt{.vault = commit.vault,
                            .seq = commit.seq,
                            .hash = hash,
                            .server_time_ns = static_cast<std::uint64_t>(now_ns),
                            .chunk_count = chunk_count};
    object::sign(receipt, state_->key);
    receipt_bytes = object::encode(receipt);
    COFFER_DO(put_commit(state_->statements, commit.seq, hash, receipt_bytes, bytes));
    // As late as can be: the rows and the signature above take about as long as the way of the chunks to the disk.
    if (settled) COFFER_DO(settled());
    COFFER_DO(transaction.commit());
    appended = state_->on_append;
  }
  if (appended) appended();
  return receipt_bytes;
}

}  // namespace coffer::oplog
