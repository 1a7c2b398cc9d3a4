#include "fs/vault/vault.h"

#include <utility>

#include "fs/vault/parts.h"

namespace coffer::vault {

Result<std::unique_ptr<Vault>> Vault::open(const VaultFolder& folder, const Options& options, const KeySource& source) {
  COFFER_TRY(VaultSettings settings, read_settings(folder));
  COFFER_TRY(FolderLock lock, FolderLock::take(folder, options.mountpoint));
  auto parts = std::make_unique<Parts>(folder, std::move(settings), options, std::move(lock));
  COFFER_DO(parts->build(source));
  return std::unique_ptr<Vault>(new Vault(std::move(parts)));
}

Vault::Vault(std::unique_ptr<Parts> parts) : parts_(std::move(parts)) {}
Vault::~Vault() { (void)parts_->close(); }

files::FileSystem& Vault::file_system() { return *parts_->file_system; }
meta::Tree& Vault::tree() { return *parts_->tree; }
rpc::Client& Vault::client() { return *parts_->client; }
const VaultFolder& Vault::folder() const { return parts_->folder; }
const VaultSettings& Vault::settings() const { return parts_->settings; }
bool Vault::is_read_only() const { return parts_->is_read_only(); }
void Vault::on_changed(Invalidate invalidate) { parts_->on_changed(std::move(invalidate)); }
Result<void> Vault::sync(std::chrono::steady_clock::time_point deadline, std::stop_token stop) {
  return parts_->file_system->sync(deadline, std::move(stop));
}
Status Vault::status() const { return parts_->status(); }
Result<void> Vault::clear_spool() { return parts_->clear_spool(); }
Result<void> Vault::close() { return parts_->close(); }

}  // namespace coffer::vault
