#include "server/service/vault_set.h"

#include "server/store/pack_chunk_store.h"

namespace coffer::service {

VaultSet::VaultSet(std::string folder, os::Disk& disk, const crypto::SigningKey& receipt_key, os::Clock& clock,
                   store::WriterPool& writers)
    : folder_(std::move(folder)), disk_(disk), receipt_key_(receipt_key), clock_(clock), writers_(writers) {}

Result<std::shared_ptr<OpenVault>> VaultSet::open(const object::VaultId& id) {
  const MutexLock lock(mutex_);
  if (const auto found = vaults_.find(id); found != vaults_.end()) return found->second;
  auto made = make(id);
  if (!made) return std::move(made).error().in("vault " + object::short_hex(id.bytes()));
  vaults_.emplace(id, *made);
  return made;
}

Result<std::shared_ptr<OpenVault>> VaultSet::make(const object::VaultId& id) {
  const std::string folder = folder_ + "/" + id.hex();
  COFFER_DO(disk_.make_folder(folder + "/packs"));
  auto vault = std::make_shared<OpenVault>();
  vault->id = id;
  COFFER_TRY(vault->chunks, store::PackChunkStore::open(disk_, folder + "/packs", {}, writers_));
  COFFER_TRY(vault->log, oplog::OpLog::open(folder + "/oplog.db", id, receipt_key_, clock_));
  // The names of a new vault's files must be as durable as what is acknowledged in them.
  COFFER_DO(disk_.sync_folder(folder));
  COFFER_DO(disk_.sync_folder(folder_));
  // The vault owns the log that calls this, so the vault is there.
  vault->log->on_append([raw = vault.get()] { raw->appended.happened(); });
  return vault;
}

void VaultSet::wake_all() {
  const MutexLock lock(mutex_);
  for (const auto& [id, vault] : vaults_) {
    vault->appended.happened();
    vault->room.happened();
  }
}

void VaultSet::close() {
  const MutexLock lock(mutex_);
  for (const auto& [id, vault] : vaults_) vault->chunks->close();
}

}  // namespace coffer::service
