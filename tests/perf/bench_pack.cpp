// LINK: common_pack
//
// What a chunk costs in the packs of server and spool: appended, synced, read back and checked. With TMPDIR on a tmpfs
// the disk is left out, and what is left is the copy, the checksum and the index.
#include <benchmark/benchmark.h>

#include <memory>
#include <vector>

#include "common/crypto/hash.h"
#include "common/pack/pack_store.h"
#include "tests/perf/rates.h"
#include "tests/testing/seeded_random.h"
#include "tests/testing/temp_dir.h"

namespace coffer::pack {
namespace {

constexpr std::size_t kLarge = 1u << 20;
constexpr std::size_t kSmall = 500;

struct World {
  World() : store(*PackStore::open(os::real_disk(), folder.path().string(), {})) {}

  /// The id is that of no content: append() leaves it to its caller to check, and the hash is measured elsewhere.
  object::ChunkId next_id() {
    std::array<std::byte, object::ChunkId::kSize> bytes{};
    std::memcpy(bytes.data(), &++count, sizeof(count));
    return object::ChunkId(bytes);
  }

  testing::TempDir folder;
  std::unique_ptr<PackStore> store;
  std::uint64_t count = 0;
};

void append(benchmark::State& state, std::size_t bytes) {
  World world;
  const Bytes chunk = testing::SeededRandom(1).bytes(bytes);
  for (auto _ : state) {
    if (!world.store->append(world.next_id(), chunk)) state.SkipWithError("append failed");
  }
  perf::per(state, "byte", bytes);
}
BENCHMARK_CAPTURE(append, 1_MiB, kLarge)->Iterations(512)->UseRealTime();
BENCHMARK_CAPTURE(append, 500_B, kSmall)->Iterations(10'000)->UseRealTime();

/// `group` chunks share the sync, as the server's writer lets them.
void append_and_sync(benchmark::State& state, std::size_t bytes) {
  World world;
  const Bytes chunk = testing::SeededRandom(1).bytes(bytes);
  const auto group = static_cast<std::size_t>(state.range(0));
  for (auto _ : state) {
    for (std::size_t i = 0; i < group; ++i) {
      if (!world.store->append(world.next_id(), chunk)) state.SkipWithError("append failed");
    }
    if (!world.store->sync()) state.SkipWithError("sync failed");
  }
  perf::per(state, "byte", bytes * group);
  perf::per(state, "chunk", group);
}
BENCHMARK_CAPTURE(append_and_sync, 1_MiB, kLarge)->Arg(1)->Arg(8)->Iterations(64)->UseRealTime();
BENCHMARK_CAPTURE(append_and_sync, 500_B, kSmall)->Arg(1)->Arg(8)->Iterations(300)->UseRealTime();

/// From the page cache; its SHA-256 is compared.
void read(benchmark::State& state) {
  World world;
  const Bytes chunk = testing::SeededRandom(1).bytes(kLarge);
  const object::ChunkId id{crypto::sha256(chunk)};
  if (!world.store->append(id, chunk)) state.SkipWithError("append failed");
  for (auto _ : state) {
    if (!world.store->read(id)) state.SkipWithError("read failed");
  }
  perf::per(state, "byte", kLarge);
}
BENCHMARK(read);

}  // namespace
}  // namespace coffer::pack
