// Reads chunks back from the disk and hashes them.
#include "common/base/log.h"
#include "server/service/requests.h"

namespace coffer::service {
namespace {

Result<wire::VerifyChunksDone::State> verify(OpenVault& vault, const object::ChunkId& id) {
  const auto found = vault.examine(id);
  if (!found) {
    // A disk that cannot read a chunk back has damaged it as well as one that reads it back wrongly.
    log::error("chunk unreadable", {{"vault", vault.id.hex()}, {"chunk", id.hex()}, {"what", found.error().what}});
    return wire::VerifyChunksDone::DAMAGED;
  }
  switch (*found) {
    case pack::Soundness::good: return wire::VerifyChunksDone::GOOD;
    case pack::Soundness::absent: return wire::VerifyChunksDone::MISSING;
    case pack::Soundness::damaged: return wire::VerifyChunksDone::DAMAGED;
  }
  return wire::VerifyChunksDone::DAMAGED;
}

}  // namespace

Answer verify_chunks(Call call) {
  COFFER_CO_TRY(const wire::VerifyChunks request, wire::parse<wire::VerifyChunks>(call.request.header));
  COFFER_CO_TRY(const auto ids, wire::parse_ids(request.ids()));
  COFFER_CO_TRY(const auto vault, vault_for(call, Use::read));
  wire::VerifyChunksDone done;
  // One by one, so that a long list takes turns with everyone else's reads.
  for (const object::ChunkId& id : ids) {
    if (call.connection->is_closed() || call.service.is_stopping()) co_return Error{Fault::stopped, 0, "stopping"};
    auto work = [vault, id] { return verify(*vault, id); };
    COFFER_CO_TRY(const auto state, co_await on_disk(call.disk(), std::move(work)));
    done.add_states(state);
  }
  co_return reply_to(call, done);
}

}  // namespace coffer::service
