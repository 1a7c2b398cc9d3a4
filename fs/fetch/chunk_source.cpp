#include "fs/fetch/chunk_source.h"

#include <utility>

#include "net/rpc/client.h"

namespace coffer::fetch {

void RpcChunkSource::get_chunk(const object::ChunkId& id, os::SteadyTime deadline,
                               std::function<void(Result<Bytes>)> done) {
  client_.get_chunk(id, deadline, std::move(done));
}

}  // namespace coffer::fetch
