// Where sealed chunks come from when they are not on the local disk: the server, or a test in its place.
#pragma once

#include <functional>

#include "common/base/bytes.h"
#include "common/base/result.h"
#include "common/object/ids.h"
#include "common/os/clock.h"

namespace coffer::rpc {
class Client;
}

namespace coffer::fetch {

/// Thread-safe.
class ChunkSource {
 public:
  virtual ~ChunkSource() = default;

  /// Calls `done` exactly once, on any thread, perhaps before it returns, with the whole sealed chunk, which matches
  /// its id; Fault::offline at `deadline`, Fault::corrupt where the server's copy is damaged, answer(ENOENT) where it
  /// has none. `done` does not block.
  virtual void get_chunk(const object::ChunkId& id, os::SteadyTime deadline,
                         std::function<void(Result<Bytes>)> done) = 0;
};

/// The server behind an rpc::Client, which must outlive it.
class RpcChunkSource : public ChunkSource {
 public:
  explicit RpcChunkSource(rpc::Client& client) : client_(client) {}
  void get_chunk(const object::ChunkId& id, os::SteadyTime deadline, std::function<void(Result<Bytes>)> done) override;

 private:
  rpc::Client& client_;
};

}  // namespace coffer::fetch
