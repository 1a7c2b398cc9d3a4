#include "fs/vault/receipt_key.h"

#include <cerrno>

#include "common/base/log.h"
#include "common/crypto/fingerprint.h"
#include "fs/vault/server_call.h"

namespace coffer::vault {

Result<ReceiptKeys> ask_receipt_keys(const VaultFolder& folder) {
  COFFER_TRY(const VaultSettings settings, read_settings(folder));
  ServerCall server(folder, settings);
  COFFER_DO(server.wait_online());
  const std::optional<rpc::ServerFacts> facts = server->facts();
  if (!facts) return Error{Fault::offline, ETIMEDOUT, "the server went away: run the same command again"};
  return ReceiptKeys{.held_to = settings.receipt_key, .shown = facts->receipt_key};
}

Result<void> accept_receipt_key(const VaultFolder& folder, const std::string& fingerprint) {
  COFFER_TRY(const FolderLock lock, FolderLock::take(folder, ""));
  COFFER_TRY(const ReceiptKeys keys, ask_receipt_keys(folder));
  const std::string shown = crypto::fingerprint_of(keys.shown);
  if (fingerprint != shown) {
    return Error{Fault::refused, EACCES,
                 "the server shows a receipt key with the fingerprint " + shown + ", not " + fingerprint +
                     ": nothing was changed. Ask whoever runs the server, who sees it with `cofferd check`"};
  }
  COFFER_TRY(VaultSettings settings, read_settings(folder));
  settings.receipt_key = keys.shown;
  COFFER_DO(write_settings(folder, settings));
  log::warn("receipt_key_accepted", {{"fingerprint", shown}});
  return {};
}

}  // namespace coffer::vault
