// LINK: fs_seal fs_keys
//
// What sealing and opening a chunk of 1 MiB costs, for each plain byte.
#include <benchmark/benchmark.h>

#include "fs/seal/sealer.h"
#include "tests/fs/seal/example.h"
#include "tests/perf/rates.h"

namespace coffer::seal {
namespace {

constexpr std::size_t kBytes = limits::kChunkPlainBytesTarget;

Bytes plain(bool compressible) { return compressible ? example::text(kBytes, 1) : example::noise(kBytes, 1); }

void seal(benchmark::State& state, const char* compression, bool compressible) {
  const Bytes data = plain(compressible);
  const Sealer sealer(example::key(1), example::vault(1), os::real_random(), parse_compression(compression).value());
  std::size_t sealed_bytes = 0;
  for (auto _ : state) sealed_bytes = sealer.seal(data).bytes().size();
  perf::per(state, "byte", kBytes);
  state.counters["percent"] = 100.0 * static_cast<double>(sealed_bytes) / kBytes;
}

void open(benchmark::State& state, const char* compression, bool compressible) {
  const Sealer sealer(example::key(1), example::vault(1), os::real_random(), parse_compression(compression).value());
  const SealedChunk chunk = sealer.seal(plain(compressible));
  for (auto _ : state) benchmark::DoNotOptimize(sealer.open(chunk.bytes()));
  perf::per(state, "byte", kBytes);
}

void open_one_frame(benchmark::State& state) {
  const Sealer sealer(example::key(1), example::vault(1), os::real_random(), {});
  const SealedChunk chunk = sealer.seal(plain(true));
  for (auto _ : state) {
    const SealedHeader header = sealer.read_header(chunk.bytes()).value();
    const SealedFrame& frame = header.frames[3];
    benchmark::DoNotOptimize(
        sealer.open_frame(header, 3, chunk.bytes().subspan(frame.sealed_offset, frame.sealed_bytes)));
  }
}
BENCHMARK(open_one_frame);

#define BENCH(what, name, ...)                                \
  BENCHMARK_CAPTURE(what, random_##name, __VA_ARGS__, false); \
  BENCHMARK_CAPTURE(what, text_##name, __VA_ARGS__, true)

BENCH(seal, none, "none");
BENCH(seal, auto, "auto");
BENCH(seal, zstd_minus_7, "zstd:-7");
BENCH(seal, zstd_minus_1, "zstd:-1");
BENCH(seal, zstd_1, "zstd:1");
BENCH(seal, zstd_3, "zstd:3");
BENCH(seal, zstd_6, "zstd:6");
BENCH(seal, zstd_9, "zstd:9");
BENCH(seal, zstd_12, "zstd:12");
BENCH(seal, zstd_19, "zstd:19");
BENCH(seal, zlib_1, "zlib:1");
BENCH(seal, zlib_6, "zlib:6");
BENCH(seal, zlib_9, "zlib:9");
BENCH(open, none, "none");
BENCH(open, auto, "auto");
BENCH(open, zlib_6, "zlib:6");

}  // namespace
}  // namespace coffer::seal
