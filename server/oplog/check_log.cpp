#include <filesystem>
#include <set>

#include "common/db/database.h"
#include "common/db/integrity.h"
#include "server/oplog/oplog.h"

namespace coffer::oplog {
namespace {

/// What the commits alone say, walked from the first one on.
struct Walk {
  const object::VaultId& vault;
  const crypto::PublicKey& key;
  LogReport report;
  object::CommitHash previous;
  std::set<object::ChunkId> present;

  void damage(std::uint64_t seq, std::string_view what) {
    report.damage.push_back("commit " + std::to_string(seq) + ": " + std::string(what));
  }

  void receipt(std::uint64_t seq, const object::CommitHash& hash, ByteView bytes) {
    const auto receipt = object::decode_receipt(bytes);
    if (!receipt) return damage(seq, "its receipt cannot be read");
    if (!object::holds(*receipt, key)) return damage(seq, "the signature of its receipt does not hold");
    if (receipt->vault != vault || receipt->seq != seq || receipt->hash != hash)
      return damage(seq, "its receipt is for another commit");
    if (receipt->chunk_count != present.size()) damage(seq, "its receipt counts other chunks than the log names");
  }

  void commit(std::uint64_t seq, ByteView hash_column, ByteView receipt_column, ByteView bytes) {
    const object::CommitHash hash = object::hash_of(bytes);
    const auto commit = object::decode_commit(bytes);
    if (seq != report.commits + 1) damage(report.commits + 1, "is missing");
    report.commits = seq;
    if (as_text(hash_column) != as_text(hash.bytes())) damage(seq, "its bytes do not match their hash");
    if (!commit) {
      damage(seq, commit.error().what);
    } else {
      if (commit->vault != vault) damage(seq, "is of another vault");
      if (commit->seq != seq) damage(seq, "carries another number");
      if (commit->previous != previous) damage(seq, "does not follow the one before it");
      present.insert(commit->added.begin(), commit->added.end());
      for (const object::ChunkId& id : commit->released) present.erase(id);
    }
    receipt(seq, hash, receipt_column);
    previous = hash;
  }
};

Result<void> check_file(db::Database& db, Walk& walk) {
  COFFER_TRY(const std::vector<std::string> found, db::integrity_of(db));
  for (const std::string& what : found) walk.report.damage.push_back("SQLite finds: " + what);
  return {};
}

Result<void> walk_commits(db::Database& db, Walk& walk) {
  COFFER_TRY(db::Statement rows, db.prepare("SELECT seq, hash, receipt, bytes FROM log_commit ORDER BY seq"));
  for (;;) {
    COFFER_TRY(const bool more, rows.step());
    if (!more) return {};
    walk.commit(static_cast<std::uint64_t>(rows.integer(0)), rows.blob(1), rows.blob(2), rows.blob(3));
  }
}

Result<void> compare_chunks(db::Database& db, Walk& walk) {
  COFFER_TRY(db::Statement rows, db.prepare("SELECT id FROM chunk WHERE released_seq IS NULL ORDER BY id"));
  std::size_t known = 0;
  for (;;) {
    COFFER_TRY(const bool more, rows.step());
    if (!more) break;
    const auto id = object::ChunkId::from(rows.blob(0));
    if (!id || !walk.present.contains(*id)) {
      walk.report.damage.push_back("the table of chunks names one that no commit has");
    } else {
      ++known;
    }
  }
  if (known != walk.present.size()) walk.report.damage.push_back("the table of chunks lacks some that commits name");
  return {};
}

}  // namespace

Result<LogReport> check_log(const std::string& path, const object::VaultId& vault, const crypto::PublicKey& key) {
  if (!std::filesystem::exists(path)) return Error{Fault::corrupt, 0, "the log is missing"};
  COFFER_TRY(db::Database db, db::Database::open(path, {.sync = db::Sync::full}));
  // One moment of the log, however much is appended meanwhile.
  COFFER_DO(db.execute("BEGIN"));
  Walk walk{.vault = vault, .key = key, .report = {}, .previous = {}, .present = {}};
  if (auto sound = check_file(db, walk); !sound) walk.report.damage.push_back(std::move(sound).error().what);
  if (auto walked = walk_commits(db, walk); !walked) walk.report.damage.push_back(std::move(walked).error().what);
  if (auto compared = compare_chunks(db, walk); !compared)
    walk.report.damage.push_back(std::move(compared).error().what);
  walk.report.present.assign(walk.present.begin(), walk.present.end());
  return std::move(walk.report);
}

}  // namespace coffer::oplog
