// Who may write: one client at a time, each time under a higher epoch.
#include <cerrno>

#include "server/oplog/state.h"

namespace coffer::oplog {

Result<void> OpLog::State::load_lease() {
  COFFER_TRY(db::Statement row, db.prepare("SELECT epoch, holder FROM lease"));
  COFFER_TRY(const bool found, row.step());
  if (!found) return Error{Fault::corrupt, 0, "the log has no lease row"};
  epoch = static_cast<std::uint64_t>(row.integer(0));
  if (!row.is_null(1)) {
    COFFER_TRY(holder, object::ClientId::from(row.blob(1)));
  }
  // How much of the lease was left before the restart is not known: its holder gets all of it.
  lease_end = clock.steady() + limits::kLeaseTime;
  return {};
}

Result<void> OpLog::State::save_lease(std::uint64_t new_epoch, const std::optional<object::ClientId>& new_holder) {
  COFFER_TRY(db::Statement set, db.prepare("UPDATE lease SET epoch = ?, holder = ?"));
  set.bind(1, static_cast<std::int64_t>(new_epoch));
  if (new_holder) {
    set.bind(2, new_holder->bytes());
  } else {
    set.bind_null(2);
  }
  COFFER_DO(set.run());
  epoch = new_epoch;
  holder = new_holder;
  return {};
}

Result<Lease> OpLog::State::acquire_lease(const object::ClientId& client, bool force) {
  const os::SteadyTime now = clock.steady();
  const bool held_by_other = holder && *holder != client && now < lease_end;
  if (held_by_other && !force) {
    const auto ttl = std::chrono::duration_cast<std::chrono::milliseconds>(lease_end - now);
    return Lease{.granted = false, .epoch = epoch, .ttl = ttl, .holder = *holder};
  }
  COFFER_DO(save_lease(epoch + 1, client));
  lease_end = now + limits::kLeaseTime;
  return Lease{.granted = true, .epoch = epoch, .ttl = limits::kLeaseTime, .holder = client};
}

Result<Lease> OpLog::acquire_lease(const object::ClientId& client, bool force) {
  const MutexLock lock(state_->mutex);
  return state_->acquire_lease(client, force);
}

Result<Lease> OpLog::take_lease_from(const Lease& held, const object::ClientId& client) {
  const MutexLock lock(state_->mutex);
  return state_->acquire_lease(client, state_->holder == held.holder && state_->epoch == held.epoch);
}

Result<std::chrono::milliseconds> OpLog::renew_lease(const object::ClientId& client, std::uint64_t epoch) {
  const MutexLock lock(state_->mutex);
  if (state_->holder != client || state_->epoch != epoch)
    return refused(EROFS, "another lease has taken the place of this one");
  // A lease that is over and that nobody has taken lives on: no other client can have written under it.
  state_->lease_end = state_->clock.steady() + limits::kLeaseTime;
  return std::chrono::milliseconds(limits::kLeaseTime);
}

Result<void> OpLog::release_lease(const object::ClientId& client, std::uint64_t epoch) {
  const MutexLock lock(state_->mutex);
  if (state_->holder != client || state_->epoch != epoch)
    return refused(EROFS, "another lease has taken the place of this one");
  return state_->save_lease(epoch, std::nullopt);
}

}  // namespace coffer::oplog
