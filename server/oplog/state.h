// The connection behind an OpLog.
#pragma once

#include "common/base/mutex.h"
#include "common/db/database.h"
#include "server/oplog/oplog.h"
#include "server/oplog/statements.h"

namespace coffer::oplog {

struct OpLog::State {
  State(db::Database database, std::string its_folder, const object::VaultId& vault_in,
        const crypto::SigningKey& key_in, os::Clock& clock_in, os::Disk& disk_in)
      : db(std::move(database)),
        folder(std::move(its_folder)),
        vault(vault_in),
        key(key_in),
        clock(clock_in),
        disk(disk_in) {}

  Mutex mutex;
  db::Database db GUARDED_BY(mutex);
  Statements statements GUARDED_BY(mutex){db};  ///< Of `db`, which goes after them.
  const std::string folder;                     ///< Of the file.
  const object::VaultId vault;
  const crypto::SigningKey& key;
  os::Clock& clock;
  os::Disk& disk;
  std::function<void()> on_append GUARDED_BY(mutex);

  // The lease as in the file; only its end lives in memory, because a steady clock means nothing after a restart.
  std::uint64_t epoch GUARDED_BY(mutex) = 0;
  std::optional<object::ClientId> holder GUARDED_BY(mutex);
  os::SteadyTime lease_end GUARDED_BY(mutex);

  std::int64_t now_ns() const { return clock.now().time_since_epoch().count(); }
  Result<Head> head() REQUIRES(mutex);
  Result<std::uint64_t> log_bytes() REQUIRES(mutex);
  Result<void> load_lease() REQUIRES(mutex);
  Result<Lease> acquire_lease(const object::ClientId& client, bool force) REQUIRES(mutex);
  Result<void> save_lease(std::uint64_t new_epoch, const std::optional<object::ClientId>& new_holder) REQUIRES(mutex);
};

inline Error refused(int code, std::string what) { return {Fault::refused, code, std::move(what)}; }

}  // namespace coffer::oplog
