// LINK: net_rpc
// SOURCES: tests/net/rpc/loopback_test.cpp
//
// What the way over TLS on loopback costs, both ends together: the column CPU is of all threads of this process. The
// server checks no hash and keeps nothing.
#include <benchmark/benchmark.h>

#include <atomic>
#include <memory>
#include <semaphore>

#include "tests/net/rpc/loopback.h"
#include "tests/perf/rates.h"

namespace coffer::rpc {
namespace {

/// Takes every chunk, at once.
class Taker : public MemoryHandler {
 public:
  boost::asio::awaitable<Result<Reply>> handle(std::shared_ptr<Session> session, Request request) override {
    if (request.type == wire::Type::put_chunk) {
      Reply reply{
          .type = wire::answer_to(request.type), .header = wire::PutChunkDone().SerializeAsString(), .body = {}};
      co_return Result<Reply>(std::move(reply));
    }
    co_return co_await MemoryHandler::handle(std::move(session), std::move(request));
  }
};

struct World {
  World() : client(client_options(loopback, ca.new_client(taker.client), taker.vault), os::real_random()) {
    client.start();
    COFFER_CHECK(client.wait_online(soon()).has_value());
  }
  ~World() { client.stop(); }

  Ca ca;
  Taker taker;
  Loopback loopback{taker, ca};
  Client client;
};

void put_chunk(benchmark::State& state) {
  World world;
  const std::shared_ptr<const Bytes> chunk = chunk_of(1u << 20, 1);
  const object::ChunkId id = id_of(*chunk);
  const auto in_flight = state.range(0);
  std::counting_semaphore<64> room(in_flight);
  std::atomic<bool> has_failed = false;
  for (auto _ : state) {
    room.acquire();
    world.client.put_chunk(id, chunk, 0, soon(), [&](const Result<PutChunkDone>& done) {
      if (!done) has_failed = true;
      room.release();
    });
  }
  for (auto i = in_flight; i > 0; --i) room.acquire();
  if (has_failed) state.SkipWithError("put_chunk failed");
  perf::per(state, "byte", chunk->size());
}
BENCHMARK(put_chunk)->Arg(1)->Arg(8)->Iterations(1'000)->UseRealTime()->MeasureProcessCPUTime();

void ping(benchmark::State& state) {
  World world;
  for (auto _ : state) {
    const auto answer = wait<VaultState>([&](auto done) { world.client.ping(soon(), done); });
    if (!answer) state.SkipWithError("ping failed");
  }
  perf::per(state, "request");
}
BENCHMARK(ping)->UseRealTime()->MeasureProcessCPUTime();

}  // namespace
}  // namespace coffer::rpc
