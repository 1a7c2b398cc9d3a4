#include "server/oplog/oplog.h"

#include <algorithm>
#include <cerrno>
#include <filesystem>

#include "server/oplog/state.h"

namespace coffer::oplog {
namespace {

constexpr const char* kSchema = R"sql(
  CREATE TABLE log_commit(seq INTEGER PRIMARY KEY, hash BLOB NOT NULL, receipt BLOB NOT NULL, bytes BLOB NOT NULL) STRICT;
  CREATE TABLE chunk(
    id BLOB PRIMARY KEY, added_seq INTEGER NOT NULL, released_seq INTEGER, released_ns INTEGER
  ) STRICT, WITHOUT ROWID;
  CREATE TABLE lease(one INTEGER PRIMARY KEY CHECK(one = 1), epoch INTEGER NOT NULL, holder BLOB) STRICT;
  CREATE TABLE key_slot(number INTEGER PRIMARY KEY AUTOINCREMENT, slot BLOB NOT NULL) STRICT;
  -- Kept by append(), so that a receipt's chunk_count costs no scan.
  CREATE TABLE total(one INTEGER PRIMARY KEY CHECK(one = 1), chunks INTEGER NOT NULL) STRICT;
  INSERT INTO lease VALUES(1, 0, NULL);
  INSERT INTO total VALUES(1, 0);
)sql";

// The log counts against the vault's quota.
constexpr const char* kCountBytes = R"sql(
  ALTER TABLE total ADD COLUMN log_bytes INTEGER NOT NULL DEFAULT 0;
  UPDATE total SET log_bytes = (SELECT coalesce(sum(length(bytes)), 0) FROM log_commit);
)sql";

// NULL: the slot opens the vault; else since when it does not.
constexpr const char* kKeepRemovedSlots = "ALTER TABLE key_slot ADD COLUMN removed_ns INTEGER";

// What keeping them takes counts too: kCommitOverheadBytes, kAddedOverheadBytes.
constexpr const char* kCountOverhead = R"sql(
  UPDATE total SET log_bytes =
    log_bytes + 256 * (SELECT count(*) FROM log_commit) + 64 * (SELECT count(*) FROM chunk);
)sql";

}  // namespace

OpLog::OpLog(std::unique_ptr<State> state) : state_(std::move(state)) {}
OpLog::~OpLog() = default;

Result<std::unique_ptr<OpLog>> OpLog::open(const std::string& path, const object::VaultId& vault,
                                           const crypto::SigningKey& key, os::Clock& clock, os::Disk& disk) {
  COFFER_TRY(db::Database db, db::Database::open(path, {.sync = db::Sync::full, .disk = &disk}));
  COFFER_DO(db.migrate({kSchema, kCountBytes, kKeepRemovedSlots, kCountOverhead}));
  auto state =
      std::make_unique<State>(std::move(db), std::filesystem::path(path).parent_path(), vault, key, clock, disk);
  {
    const MutexLock lock(state->mutex);
    COFFER_DO(state->load_lease());
  }
  return std::unique_ptr<OpLog>(new OpLog(std::move(state)));
}

Result<Head> OpLog::head() {
  const MutexLock lock(state_->mutex);
  return state_->head();
}

Result<std::uint64_t> OpLog::log_bytes() {
  const MutexLock lock(state_->mutex);
  return state_->log_bytes();
}

Result<std::uint64_t> OpLog::State::log_bytes() {
  COFFER_TRY(const Lent total, statements.lend("SELECT log_bytes FROM total"));
  COFFER_TRY(const bool found, total->step());
  if (!found) return Error{Fault::corrupt, 0, "the log has no row of totals"};
  return static_cast<std::uint64_t>(total->integer(0));
}

Result<Head> OpLog::State::head() {
  COFFER_TRY(const Lent last, statements.lend("SELECT seq, hash, receipt FROM log_commit ORDER BY seq DESC LIMIT 1"));
  COFFER_TRY(const bool found, last->step());
  Head head;
  if (!found) return head;
  head.seq = static_cast<std::uint64_t>(last->integer(0));
  COFFER_TRY(head.hash, object::CommitHash::from(last->blob(1)));
  head.receipt = copy_of(last->blob(2));
  return head;
}

Result<Page> OpLog::read(std::uint64_t from_seq, std::uint64_t bytes_max, First first) {
  const MutexLock lock(state_->mutex);
  Page page;
  COFFER_TRY(page.head, state_->head());
  if (from_seq > page.head.seq) return page;
  COFFER_TRY(db::Statement rows, state_->db.prepare("SELECT bytes FROM log_commit WHERE seq >= ? ORDER BY seq"));
  rows.bind(1, static_cast<std::int64_t>(from_seq));
  std::uint64_t taken = 0;
  for (;;) {
    COFFER_TRY(const bool more, rows.step());
    if (!more) return page;
    const ByteView bytes = rows.blob(0);
    taken += bytes.size();
    const bool may_exceed = page.commits.empty() && first == First::in_any_case;
    if (taken > bytes_max && !may_exceed) return page;
    page.commits.push_back(copy_of(bytes));
  }
}

Result<bool> OpLog::is_present(const object::ChunkId& id) {
  const MutexLock lock(state_->mutex);
  COFFER_TRY(db::Statement find, state_->db.prepare("SELECT 1 FROM chunk WHERE id = ? AND released_seq IS NULL"));
  return find.bind(1, id.bytes()).step();
}

Result<std::vector<object::ChunkId>> OpLog::present_after(const std::optional<object::ChunkId>& after,
                                                          std::size_t count_max) {
  const MutexLock lock(state_->mutex);
  COFFER_TRY(db::Statement rows, state_->db.prepare("SELECT id FROM chunk WHERE id > ? AND released_seq IS NULL "
                                                    "ORDER BY id LIMIT ?"));
  rows.bind(1, after ? after->bytes() : ByteView()).bind(2, static_cast<std::int64_t>(count_max));
  std::vector<object::ChunkId> present;
  for (;;) {
    COFFER_TRY(const bool more, rows.step());
    if (!more) return present;
    COFFER_TRY(const auto id, object::ChunkId::from(rows.blob(0)));
    present.push_back(id);
  }
}

void OpLog::on_append(std::function<void()> call) {
  const MutexLock lock(state_->mutex);
  state_->on_append = std::move(call);
}

}  // namespace coffer::oplog
