// The wrapped vault keys that clients keep here. The server cannot open them.
//
// A removed slot is kept for a while: a client that was stolen could else remove all that open the vault, and all that
// it ever held would be lost with them.
#include <cerrno>
#include <string>

#include "server/oplog/state.h"

namespace coffer::oplog {
namespace {

Result<std::int64_t> count(db::Database& db, const char* sql) {
  COFFER_TRY(db::Statement counted, db.prepare(sql));
  COFFER_TRY(const bool row, counted.step());
  return row ? counted.integer(0) : 0;
}

Result<std::int64_t> count_slots(db::Database& db) {
  return count(db, "SELECT count(*) FROM key_slot WHERE removed_ns IS NULL");
}

Result<std::int64_t> count_removed(db::Database& db) {
  return count(db, "SELECT count(*) FROM key_slot WHERE removed_ns IS NOT NULL");
}

/// What was removed longer than kLockFor ago goes for good.
Result<void> drop_expired(db::Database& db, std::int64_t now_ns) {
  COFFER_TRY(db::Statement drop, db.prepare("DELETE FROM key_slot WHERE removed_ns <= ?"));
  return drop.bind(1, now_ns - std::chrono::nanoseconds(kLockFor).count()).run();
}

Result<void> set_removed(db::Database& db, std::uint64_t number, std::int64_t now_ns) {
  COFFER_TRY(db::Statement set,
             db.prepare("UPDATE key_slot SET removed_ns = ? WHERE number = ? AND removed_ns IS NULL"));
  COFFER_DO(set.bind(1, now_ns).bind(2, static_cast<std::int64_t>(number)).run());
  if (db.changes() == 0) return refused(ENOENT, "there is no key slot " + std::to_string(number));
  return {};
}

Result<void> set_live(db::Database& db, std::uint64_t number) {
  COFFER_TRY(db::Statement set,
             db.prepare("UPDATE key_slot SET removed_ns = NULL WHERE number = ? AND removed_ns IS NOT NULL"));
  COFFER_DO(set.bind(1, static_cast<std::int64_t>(number)).run());
  if (db.changes() == 0) {
    return refused(ENOENT, "there is no removed key slot " + std::to_string(number) +
                               "; without --restore and --remove the command lists what is there");
  }
  return {};
}

Result<std::vector<KeySlot>> select_slots(db::Database& db, const char* sql) {
  COFFER_TRY(db::Statement all, db.prepare(sql));
  std::vector<KeySlot> slots;
  for (;;) {
    COFFER_TRY(const bool more, all.step());
    if (!more) return slots;
    KeySlot slot{.number = static_cast<std::uint64_t>(all.integer(0)), .slot = copy_of(all.blob(1)), .removed_ns = {}};
    if (!all.is_null(2)) slot.removed_ns = all.integer(2);
    slots.push_back(std::move(slot));
  }
}

}  // namespace

Result<std::vector<KeySlot>> OpLog::key_slots() {
  const MutexLock lock(state_->mutex);
  return select_slots(state_->db,
                      "SELECT number, slot, removed_ns FROM key_slot WHERE removed_ns IS NULL ORDER BY number");
}

Result<std::vector<KeySlot>> OpLog::removed_key_slots() {
  const MutexLock lock(state_->mutex);
  return select_slots(state_->db,
                      "SELECT number, slot, removed_ns FROM key_slot WHERE removed_ns IS NOT NULL ORDER BY number");
}

Result<std::uint64_t> OpLog::put_key_slot(ByteView slot, bool only_if_first) {
  if (slot.empty()) return refused(EINVAL, "a key slot is empty");
  if (slot.size() > kKeySlotBytesMax) return refused(EFBIG, "a key slot has at most 4,096 bytes");
  const MutexLock lock(state_->mutex);
  COFFER_TRY(db::Transaction transaction, db::Transaction::begin(state_->db));
  COFFER_TRY(const std::int64_t live, count_slots(state_->db));
  if (only_if_first && live != 0) {
    // Asked again, because the answer was lost: no two slots are ever the same by chance.
    COFFER_TRY(db::Statement same,
               state_->db.prepare("SELECT number FROM key_slot WHERE slot = ? AND removed_ns IS NULL"));
    COFFER_TRY(const bool is_stored, same.bind(1, slot).step());
    if (is_stored) return static_cast<std::uint64_t>(same.integer(0));
    return refused(EEXIST, "the vault has a key already");
  }
  if (live >= static_cast<std::int64_t>(kKeySlotsMax)) {
    return refused(ENOSPC, "a vault has at most 16 key slots; remove one that is no longer used");
  }
  COFFER_DO(drop_expired(state_->db, state_->now_ns()));
  COFFER_TRY(db::Statement put, state_->db.prepare("INSERT INTO key_slot(slot) VALUES(?)"));
  COFFER_DO(put.bind(1, slot).run());
  const auto number = static_cast<std::uint64_t>(state_->db.last_insert_rowid());
  COFFER_DO(transaction.commit());
  return number;
}

Result<void> OpLog::remove_key_slot(std::uint64_t number) {
  const MutexLock lock(state_->mutex);
  COFFER_TRY(db::Transaction transaction, db::Transaction::begin(state_->db));
  COFFER_DO(drop_expired(state_->db, state_->now_ns()));
  COFFER_DO(set_removed(state_->db, number, state_->now_ns()));
  COFFER_TRY(const std::int64_t left, count_slots(state_->db));
  if (left == 0) return refused(EBUSY, "the last key slot stays: without it the vault could never be opened again");
  COFFER_TRY(const std::int64_t kept, count_removed(state_->db));
  if (kept > static_cast<std::int64_t>(kRemovedSlotsMax)) {
    return refused(ENOSPC,
                   "the server keeps removed key slots for a week and has 64 of this vault; remove this one later, or "
                   "on the server with: cofferd slots");
  }
  return transaction.commit();
}

Result<void> OpLog::change_key_slots(const std::vector<std::uint64_t>& restored,
                                     const std::vector<std::uint64_t>& removed) {
  const MutexLock lock(state_->mutex);
  COFFER_TRY(db::Transaction transaction, db::Transaction::begin(state_->db));
  for (const std::uint64_t number : restored) COFFER_DO(set_live(state_->db, number));
  for (const std::uint64_t number : removed) COFFER_DO(set_removed(state_->db, number, state_->now_ns()));
  COFFER_TRY(const std::int64_t live, count_slots(state_->db));
  if (live == 0) return refused(EBUSY, "one key slot must stay, or the vault could never be opened again");
  if (live > static_cast<std::int64_t>(kKeySlotsMax)) {
    return refused(ENOSPC, "a vault has at most 16 key slots; name some to --remove in the same command");
  }
  return transaction.commit();
}

}  // namespace coffer::oplog
