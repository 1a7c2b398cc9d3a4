// LINK: fs_chunk
//
// What cutting and naming pieces costs, in bytes a second.
#include <benchmark/benchmark.h>

#include "fs/chunk/chunker.h"
#include "fs/chunk/piece_hash.h"
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
  state.SetBytesProcessed(static_cast<std::int64_t>(state.iterations() * kBytes));
  state.counters["mean_piece_KiB"] =
      static_cast<double>(state.iterations() * kBytes) / static_cast<double>(pieces) / 1024;
}
BENCHMARK(cut)->Unit(benchmark::kMillisecond);

void name(benchmark::State& state) {
  const Bytes data = testing::SeededRandom(2).bytes(256u << 10);
  const PieceHasher hasher(key());
  for (auto _ : state) benchmark::DoNotOptimize(hasher.hash(data));
  state.SetBytesProcessed(static_cast<std::int64_t>(state.iterations() * data.size()));
}
BENCHMARK(name);

}  // namespace
}  // namespace coffer::chunk
