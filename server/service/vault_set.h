// The vaults that are open: for each its chunks and its log.
#pragma once

#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "common/base/mutex.h"
#include "common/crypto/sign.h"
#include "common/os/clock.h"
#include "common/os/disk.h"
#include "server/oplog/oplog.h"
#include "server/service/event.h"
#include "server/store/chunk_store.h"
#include "server/store/health.h"
#include "server/store/writer_pool.h"

namespace coffer::service {

struct OpenVault {
  object::VaultId id;
  std::shared_ptr<store::ChunkStore> chunks;
  std::unique_ptr<oplog::OpLog> log;
  store::Health health;
  Event appended;  ///< A commit was.
  Event room;      ///< Chunks that waited to be written were.

  /// Reads the chunk back. One that is not good is wanted from now on, if the log names it. May wait for the disk.
  Result<pack::Soundness> examine(const object::ChunkId& chunk);
};

/// Thread-safe. A vault is opened when it is first asked for, and stays open.
class VaultSet {
 public:
  /// `folder` has one folder for each vault, named by its id. Keeps references to all.
  VaultSet(std::string folder, os::Disk& disk, const crypto::SigningKey& receipt_key, os::Clock& clock,
           store::WriterPool& writers);

  /// Opens or makes it; may wait for the disk.
  Result<std::shared_ptr<OpenVault>> open(const object::VaultId& id);
  /// Wakes all who wait for something in any vault.
  void wake_all();
  /// Brings what waits to be written to stable storage, and takes no more.
  void close();

 private:
  Result<std::shared_ptr<OpenVault>> make(const object::VaultId& id);

  const std::string folder_;
  os::Disk& disk_;
  const crypto::SigningKey& receipt_key_;
  os::Clock& clock_;
  store::WriterPool& writers_;

  /// One vault; its mutex is held while it is opened, which may take a whole scan of its packs.
  struct Slot {
    Mutex mutex;
    std::shared_ptr<OpenVault> vault GUARDED_BY(mutex);
  };
  std::vector<std::shared_ptr<OpenVault>> all_open();

  Mutex mutex_;  ///< Not held while a vault is opened: others go on.
  std::unordered_map<object::VaultId, std::shared_ptr<Slot>> slots_ GUARDED_BY(mutex_);
};

}  // namespace coffer::service
