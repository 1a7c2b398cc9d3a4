// Appends a commit to the vault's log and answers with the receipt; server/oplog decides.
#include <algorithm>

#include "common/base/log.h"
#include "server/service/requests.h"

namespace coffer::service {
namespace {

/// A vault whose quota is used up can still say what it removes: the log may grow this far beyond.
constexpr std::uint64_t kLogBytesBeyondQuota = 64u << 20;

Result<Bytes> append(OpenVault& vault, ByteView commit, const object::ClientId& client, std::uint64_t quota_bytes) {
  const auto is_stored = [&vault](const object::ChunkId& id) -> Result<bool> {
    COFFER_TRY(const store::Held held, vault.chunks->find(id));
    return held.stored;
  };
  if (quota_bytes == 0) return vault.log->append(commit, client, is_stored);
  const std::uint64_t chunk_bytes = std::min(vault.chunks->used_bytes(), quota_bytes);
  return vault.log->append(commit, client, is_stored, quota_bytes - chunk_bytes + kLogBytesBeyondQuota);
}

}  // namespace

Answer append_commit(Call call) {
  COFFER_CO_DO(wire::parse<wire::AppendCommit>(call.request.header));
  COFFER_CO_TRY(const auto vault, vault_for(call, Use::write));
  const object::ClientId client = call.connection->access().client.id;
  const std::uint64_t quota_bytes = call.connection->access().grant->vault.quota_bytes;
  auto work = [vault, client, quota_bytes, commit = std::move(call.request.body)] {
    return append(*vault, commit, client, quota_bytes);
  };
  auto receipt = co_await on_disk(call.disk(), std::move(work));
  if (!receipt) {
    log::warn("commit refused", {{"remote", call.session->remote()},
                                 {"client", call.connection->access().client.name},
                                 {"why", receipt.error().what}});
    co_return std::move(receipt).error();
  }
  wire::AppendCommitDone done;
  done.set_receipt(as_string(*receipt));
  co_return reply_to(call, done);
}

}  // namespace coffer::service
