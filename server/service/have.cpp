// How much of each of these chunks is here: deduplication and resumption in one answer.
#include <algorithm>
#include <span>
#include <vector>

#include "server/service/requests.h"

namespace coffer::service {
namespace {

/// Looked for in one turn: a long list takes turns with what other clients ask.
constexpr std::size_t kIdsPerTurn = 256;

Result<std::vector<store::Held>> look(store::ChunkStore& chunks, std::span<const object::ChunkId> ids) {
  std::vector<store::Held> all;
  all.reserve(ids.size());
  for (const object::ChunkId& id : ids) {
    COFFER_TRY(const store::Held held, chunks.find(id));
    all.push_back(held);
  }
  return all;
}

}  // namespace

Answer have(Call call) {
  COFFER_CO_TRY(const wire::Have have, wire::parse<wire::Have>(call.request.header));
  COFFER_CO_TRY(const std::vector<object::ChunkId> ids, wire::parse_ids(have.ids()));
  COFFER_CO_TRY(const auto vault, vault_for(call, Use::read));
  store::PartialKey key{.client = call.connection->access().client.id, .vault = vault->id, .chunk = {}};
  wire::HaveDone done;
  for (std::size_t at = 0; at < ids.size(); at += kIdsPerTurn) {
    if (call.connection->is_closed() || call.service.is_stopping()) co_return Error{Fault::stopped, 0, "stopping"};
    const std::span<const object::ChunkId> some = std::span(ids).subspan(at, std::min(kIdsPerTurn, ids.size() - at));
    // Before the store is asked: a part is let go once its chunk is stored, and would be in neither if it was asked
    // later.
    std::vector<std::uint64_t> parts;
    for (const object::ChunkId& id : some) {
      key.chunk = id;
      parts.push_back(call.service.partials().received(key));
    }
    auto work = [vault, some] { return look(*vault->chunks, some); };
    COFFER_CO_TRY(const std::vector<store::Held> all, co_await on_disk(call.disk(), std::move(work)));
    for (std::size_t index = 0; index < some.size(); ++index) {
      const bool stored = all[index].stored;
      done.add_received(stored ? all[index].received : parts[index]);
      done.add_stored(stored);
    }
  }
  co_return reply_to(call, done);
}

}  // namespace coffer::service
