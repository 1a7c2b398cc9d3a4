// How much of each of these chunks is here: deduplication and resumption in one answer.
#include "server/service/requests.h"

namespace coffer::service {
namespace {

Result<wire::HaveDone> look(store::ChunkStore& chunks, const std::vector<object::ChunkId>& ids) {
  wire::HaveDone done;
  for (const object::ChunkId& id : ids) {
    COFFER_TRY(const store::Held held, chunks.find(id));
    done.add_received(held.received);
    done.add_stored(held.stored);
  }
  return done;
}

}  // namespace

Answer have(Call call) {
  COFFER_CO_TRY(const wire::Have have, wire::parse<wire::Have>(call.request.header));
  COFFER_CO_TRY(std::vector<object::ChunkId> ids, wire::parse_ids(have.ids()));
  COFFER_CO_TRY(const auto vault, vault_for(call, Use::read));
  auto work = [vault, ids = std::move(ids)] { return look(*vault->chunks, ids); };
  COFFER_CO_TRY(const wire::HaveDone done, co_await on_disk(call.service.disk(), std::move(work)));
  co_return reply_to(call, done);
}

}  // namespace coffer::service
