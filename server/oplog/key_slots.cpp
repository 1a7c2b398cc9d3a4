// The wrapped vault keys that clients keep here. The server cannot open them.
#include <cerrno>

#include "server/oplog/state.h"

namespace coffer::oplog {
namespace {

Result<std::int64_t> count_slots(db::Database& db) {
  COFFER_TRY(db::Statement count, db.prepare("SELECT count(*) FROM key_slot"));
  COFFER_TRY(const bool row, count.step());
  return row ? count.integer(0) : 0;
}

}  // namespace

Result<std::vector<KeySlot>> OpLog::key_slots() {
  const MutexLock lock(state_->mutex);
  COFFER_TRY(db::Statement all, state_->db.prepare("SELECT number, slot FROM key_slot ORDER BY number"));
  std::vector<KeySlot> slots;
  for (;;) {
    COFFER_TRY(const bool more, all.step());
    if (!more) return slots;
    slots.push_back({.number = static_cast<std::uint64_t>(all.integer(0)), .slot = copy_of(all.blob(1))});
  }
}

Result<std::uint64_t> OpLog::put_key_slot(ByteView slot, bool only_if_first) {
  if (slot.empty()) return refused(EINVAL, "a key slot is empty");
  if (slot.size() > kKeySlotBytesMax) return refused(EFBIG, "a key slot has at most 4,096 bytes");
  const MutexLock lock(state_->mutex);
  COFFER_TRY(db::Transaction transaction, db::Transaction::begin(state_->db));
  COFFER_TRY(const std::int64_t count, count_slots(state_->db));
  if (only_if_first && count != 0) return refused(EEXIST, "the vault has a key already");
  if (count >= static_cast<std::int64_t>(kKeySlotsMax)) return refused(ENOSPC, "a vault has at most 16 key slots");
  COFFER_TRY(db::Statement put, state_->db.prepare("INSERT INTO key_slot(slot) VALUES(?)"));
  COFFER_DO(put.bind(1, slot).run());
  const auto number = static_cast<std::uint64_t>(state_->db.last_insert_rowid());
  COFFER_DO(transaction.commit());
  return number;
}

Result<void> OpLog::remove_key_slot(std::uint64_t number) {
  const MutexLock lock(state_->mutex);
  COFFER_TRY(db::Transaction transaction, db::Transaction::begin(state_->db));
  COFFER_TRY(db::Statement drop, state_->db.prepare("DELETE FROM key_slot WHERE number = ?"));
  COFFER_DO(drop.bind(1, static_cast<std::int64_t>(number)).run());
  if (state_->db.changes() == 0) return refused(ENOENT, "there is no such key slot");
  COFFER_TRY(const std::int64_t left, count_slots(state_->db));
  if (left == 0) return refused(EBUSY, "the last key slot stays: without it the vault could never be opened again");
  return transaction.commit();
}

}  // namespace coffer::oplog
