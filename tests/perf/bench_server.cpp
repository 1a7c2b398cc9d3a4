// LINK: server_store server_oplog
//
// What a chunk and a commit cost the server until it may answer: both are on stable storage then. With TMPDIR on a
// tmpfs the disk is left out.
#include <benchmark/benchmark.h>

#include <atomic>
#include <memory>
#include <semaphore>
#include <vector>

#include "common/crypto/hash.h"
#include "server/oplog/oplog.h"
#include "server/store/pack_chunk_store.h"
#include "tests/perf/rates.h"
#include "tests/testing/seeded_random.h"
#include "tests/testing/temp_dir.h"

namespace coffer {
namespace {

template <class Id>
Id id_of(std::uint64_t number) {
  std::array<std::byte, Id::kSize> bytes{};
  std::memcpy(bytes.data(), &number, sizeof(number));
  return Id(bytes);
}

/// Of 1 MiB, with range(0) of them on their way at once. Whoever calls put() has compared the hash before.
void put(benchmark::State& state) {
  const testing::TempDir folder;
  store::WriterPool writers(2);
  const auto packs = *store::PackChunkStore::open(os::real_disk(), (folder / "packs").string(), {}, writers);
  const auto chunk = std::make_shared<const Bytes>(testing::SeededRandom(1).bytes(1u << 20));
  const auto in_flight = state.range(0);
  std::counting_semaphore<64> room(in_flight);
  std::atomic<bool> has_failed = false;
  std::uint64_t count = 0;
  for (auto _ : state) {
    room.acquire();
    packs->put(id_of<object::ChunkId>(++count), chunk, [&](const Result<store::PutDone>& done) {
      if (!done) has_failed = true;
      room.release();
    });
  }
  for (auto i = in_flight; i > 0; --i) room.acquire();
  packs->close();
  if (has_failed) state.SkipWithError("put failed");
  perf::per(state, "byte", chunk->size());
}
BENCHMARK(put)->Arg(1)->Arg(8)->Iterations(256)->UseRealTime()->MeasureProcessCPUTime();

void hash(benchmark::State& state) {
  const Bytes chunk = testing::SeededRandom(1).bytes(1u << 20);
  for (auto _ : state) benchmark::DoNotOptimize(crypto::sha256(chunk));
  perf::per(state, "byte", chunk.size());
}
BENCHMARK(hash);

/// Adds range(0) chunks, with a payload of 300 bytes for each.
void append_commit(benchmark::State& state) {
  const testing::TempDir folder;
  const crypto::SigningKey key = crypto::SigningKey::generate(os::real_random());
  const auto vault = id_of<object::VaultId>(7);
  const auto client = id_of<object::ClientId>(1);
  const auto log = *oplog::OpLog::open((folder / "oplog.db").string(), vault, key, os::real_clock());
  const std::uint64_t epoch = log->acquire_lease(client, true)->epoch;
  const auto added_count = static_cast<std::uint64_t>(state.range(0));
  object::Commit commit{.vault = vault,
                        .seq = 0,
                        .previous = {},
                        .epoch = epoch,
                        .added = {},
                        .released = {},
                        .payload = Bytes(300 * added_count)};
  std::uint64_t chunk_count = 0;
  for (auto _ : state) {
    ++commit.seq;
    commit.added.clear();
    for (std::uint64_t i = 0; i < added_count; ++i) {
      // The count leads, highest byte first, so that the ids ascend.
      commit.added.push_back(id_of<object::ChunkId>(__builtin_bswap64(++chunk_count)));
    }
    const Bytes encoded = object::encode(commit);
    const auto receipt = log->append(encoded, client, [](const object::ChunkId&) -> Result<bool> { return true; });
    if (!receipt) state.SkipWithError(receipt.error().what.c_str());
    commit.previous = object::hash_of(encoded);
  }
  perf::per(state, "commit");
}
BENCHMARK(append_commit)->Arg(1)->Arg(100)->UseRealTime();

}  // namespace
}  // namespace coffer
