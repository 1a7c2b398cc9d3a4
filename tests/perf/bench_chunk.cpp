// LINK: fs_chunk
//
// What cutting and naming pieces costs, for each byte.
#include <benchmark/benchmark.h>

#include "fs/chunk/chunker.h"
#include "fs/chunk/piece_hash.h"
#include "tests/perf/rates.h"
#include "tests/testing/seeded_random.h"

namespace coffer::chunk {
namespace {

constexpr std::size_t kBytes = 64u << 20;

crypto::Secret key() { return crypto::Secret::copy_of(testing::SeededRandom(1).bytes(32)); }

void cut(benchmark::State& state) {
  const Bytes data = testing::SeededRandom(2).bytes(kBytes);
  Chunker chunker(key());
  std::size_t pieces = 0;
  for (auto _ : state) {
    for (ByteView rest = data; !rest.empty(); ++pieces) rest = rest.subspan(chunker.cut(rest, true));
  }
  perf::per(state, "byte", kBytes);
  state.counters["mean_piece_KiB"] =
      static_cast<double>(state.iterations() * kBytes) / static_cast<double>(pieces) / 1024;
}
BENCHMARK(cut)->Unit(benchmark::kMillisecond);

void name(benchmark::State& state) {
  const Bytes data = testing::SeededRandom(2).bytes(256u << 10);
  const PieceHasher hasher(key());
  for (auto _ : state) benchmark::DoNotOptimize(hasher.hash(data));
  perf::per(state, "byte", data.size());
}
BENCHMARK(name);

}  // namespace
}  // namespace coffer::chunk
