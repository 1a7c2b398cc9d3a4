// Appends a commit to the vault's log and answers with the receipt; server/oplog decides.
#include "common/base/log.h"
#include "server/service/requests.h"

namespace coffer::service {
namespace {

Result<Bytes> append(OpenVault& vault, ByteView commit, const object::ClientId& client) {
  return vault.log->append(commit, client, [&vault](const object::ChunkId& id) -> Result<bool> {
    COFFER_TRY(const store::Held held, vault.chunks->find(id));
    return held.stored;
  });
}

}  // namespace

Answer append_commit(Call call) {
  COFFER_CO_DO(wire::parse<wire::AppendCommit>(call.request.header));
  COFFER_CO_TRY(const auto vault, vault_for(call, Use::write));
  const object::ClientId client = call.connection->access().client.id;
  auto work = [vault, client, commit = std::move(call.request.body)] { return append(*vault, commit, client); };
  auto receipt = co_await on_disk(call.service.disk(), std::move(work));
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
