// Gives a chunk back, whole or a range of it. Nothing is hashed here: whoever gets it must do that anyway, and asks for
// verify_chunks where it is not what was put.
#include <algorithm>
#include <cerrno>

#include "common/base/log.h"
#include "server/service/requests.h"

namespace coffer::service {
namespace {

struct Range {
  std::uint64_t offset = 0;
  std::uint64_t bytes = 0;  ///< 0: to the end.
};

struct Found {
  Bytes bytes;
  std::uint64_t chunk_bytes = 0;
};

Result<Found> read(OpenVault& vault, const object::ChunkId& id, const Range& range) {
  store::ChunkStore& chunks = *vault.chunks;
  COFFER_TRY(const store::Held held, chunks.find(id));
  if (!held.stored) {
    COFFER_DO(vault.examine(id));  // One that the log names is asked back.
    return answer(ENOENT);
  }
  Found found{.bytes = {}, .chunk_bytes = held.received};
  if (range.offset >= held.received) return Error{Fault::refused, EINVAL, "the range begins behind the chunk's end"};
  const std::uint64_t rest = held.received - range.offset;
  const std::uint64_t count = range.bytes == 0 ? rest : std::min(range.bytes, rest);
  Result<Bytes> bytes = chunks.read_range(id, range.offset, count);
  if (!bytes && bytes.error().fault == Fault::corrupt) COFFER_DO(vault.examine(id));
  COFFER_TRY(found.bytes, std::move(bytes));
  return found;
}

}  // namespace

Answer get_chunk(Call call) {
  COFFER_CO_TRY(const wire::GetChunk get, wire::parse<wire::GetChunk>(call.request.header));
  COFFER_CO_TRY(const auto id, wire::parse_id<object::ChunkId>(get.id()));
  COFFER_CO_TRY(const auto vault, vault_for(call, Use::read));
  const Range range{.offset = get.offset(), .bytes = get.bytes()};
  auto work = [vault, id, range] { return read(*vault, id, range); };
  auto found = co_await on_disk(call.disk(), std::move(work));
  if (!found) {
    if (found.error().fault == Fault::corrupt) {
      log::error("chunk damaged", {{"vault", vault->id.hex()}, {"chunk", id.hex()}, {"what", found.error().what}});
    }
    co_return std::move(found).error();
  }
  wire::GetChunkDone done;
  done.set_chunk_bytes(found->chunk_bytes);
  co_return reply_to(call, done, std::move(found->bytes));
}

}  // namespace coffer::service
