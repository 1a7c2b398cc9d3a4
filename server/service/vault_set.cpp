#include "server/service/vault_set.h"

#include "common/base/log.h"
#include "server/store/pack_chunk_store.h"

namespace coffer::service {

Result<pack::Soundness> OpenVault::examine(const object::ChunkId& chunk) {
  COFFER_TRY(const pack::Soundness found, chunks->examine(chunk));
  if (found == pack::Soundness::good) {
    if (health.came(chunk)) log::info("chunk readable again", {{"vault", id.hex()}, {"chunk", chunk.hex()}});
    return found;
  }
  COFFER_TRY(const bool is_needed, log->is_present(chunk));
  if (!is_needed) return found;
  log::error(
      "chunk wanted",
      {{"vault", id.hex()}, {"chunk", chunk.hex()}, {"why", found == pack::Soundness::absent ? "missing" : "damaged"}});
  health.want(chunk);
  return found;
}

VaultSet::VaultSet(std::string folder, os::Disk& disk, const crypto::SigningKey& receipt_key, os::Clock& clock,
                   store::WriterPool& writers)
    : folder_(std::move(folder)), disk_(disk), receipt_key_(receipt_key), clock_(clock), writers_(writers) {}

Result<std::shared_ptr<OpenVault>> VaultSet::open(const object::VaultId& id) {
  std::shared_ptr<Slot> slot;
  {
    const MutexLock lock(mutex_);
    std::shared_ptr<Slot>& known = slots_[id];
    if (known == nullptr) known = std::make_shared<Slot>();
    slot = known;
  }
  const MutexLock lock(slot->mutex);
  if (slot->vault != nullptr) return slot->vault;
  auto made = make(id);
  if (!made) return std::move(made).error().in("vault " + object::short_hex(id.bytes()));
  slot->vault = *made;
  return made;
}

std::vector<std::shared_ptr<OpenVault>> VaultSet::all_open() {
  std::vector<std::shared_ptr<Slot>> slots;
  {
    const MutexLock lock(mutex_);
    for (const auto& [id, slot] : slots_) slots.push_back(slot);
  }
  std::vector<std::shared_ptr<OpenVault>> open;
  for (const auto& slot : slots) {
    const MutexLock lock(slot->mutex);
    if (slot->vault != nullptr) open.push_back(slot->vault);
  }
  return open;
}

Result<std::shared_ptr<OpenVault>> VaultSet::make(const object::VaultId& id) {
  const std::string folder = folder_ + "/" + id.hex();
  COFFER_DO(disk_.make_folder(folder + "/packs"));
  auto vault = std::make_shared<OpenVault>();
  vault->id = id;
  COFFER_TRY(vault->chunks, store::PackChunkStore::open(disk_, folder + "/packs", {}, writers_));
  COFFER_TRY(vault->log, oplog::OpLog::open(folder + "/oplog.db", id, receipt_key_, clock_, disk_));
  // The names of a new vault's files must be as durable as what is acknowledged in them.
  COFFER_DO(disk_.sync_folder(folder));
  COFFER_DO(disk_.sync_folder(folder_));
  // The vault owns the log that calls this, so the vault is there.
  vault->log->on_append([raw = vault.get()] { raw->appended.happened(); });
  return vault;
}

void VaultSet::wake_all() {
  for (const auto& vault : all_open()) {
    vault->appended.happened();
    vault->room.happened();
  }
}

void VaultSet::close() {
  for (const auto& vault : all_open()) vault->chunks->close();
}

}  // namespace coffer::service
