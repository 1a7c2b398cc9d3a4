// LINK: fs_spool fs_seal fs_keys
//
// What it costs to keep a sealed chunk of 1 MiB on the client's disk and to get it back, and to stage the 8 KiB of a
// small file. With TMPDIR on a tmpfs the disk is left out.
#include <benchmark/benchmark.h>

#include <memory>
#include <vector>

#include "fs/seal/sealer.h"
#include "fs/spool/spool.h"
#include "fs/spool/staging.h"
#include "tests/fs/seal/example.h"
#include "tests/perf/rates.h"
#include "tests/testing/temp_dir.h"

namespace coffer::spool {
namespace {

constexpr std::size_t kChunks = 128;
constexpr std::size_t kPlainBytes = limits::kChunkPlainBytesTarget;
constexpr std::size_t kSmallBytes = 8192;

/// Sealed once for all benchmarks: what that costs is bench_seal's.
const std::vector<seal::SealedChunk>& chunks() {
  static const std::vector<seal::SealedChunk> made = [] {
    const seal::Sealer sealer(seal::example::key(1), seal::example::vault(1), os::real_random(),
                              seal::parse_compression("none").value());
    std::vector<seal::SealedChunk> sealed;
    for (unsigned i = 0; i < kChunks; ++i) sealed.push_back(sealer.seal(seal::example::noise(kPlainBytes, i)));
    return sealed;
  }();
  return made;
}

struct World {
  World()
      : spool(*Spool::open(os::real_disk(), (folder / "spool").string(), {.bytes_max = 1u << 30},
                           [](const object::ChunkId&) -> Result<Standing> { return Standing::unknown; })) {}
  void put_all(benchmark::State& state) {
    for (const seal::SealedChunk& chunk : chunks()) {
      if (!spool->put(chunk)) state.SkipWithError("put failed");
    }
  }

  testing::TempDir folder;
  std::unique_ptr<Spool> spool;
};

/// `synced`: as `fsync=local` waits for it, after each chunk.
void put(benchmark::State& state, bool synced) {
  World world;
  std::size_t next = 0;
  chunks();
  for (auto _ : state) {
    if (!world.spool->put(chunks()[next++])) state.SkipWithError("put failed");
    if (synced && !world.spool->settle()) state.SkipWithError("settle failed");
  }
  perf::per(state, "byte", kPlainBytes);
}
BENCHMARK_CAPTURE(put, kept, false)->Iterations(kChunks)->UseRealTime();
BENCHMARK_CAPTURE(put, kept_and_synced, true)->Iterations(kChunks)->UseRealTime();

/// `last`: what was put just now, as the uploader asks for it; else from the page cache, and checked.
void get(benchmark::State& state, bool last) {
  World world;
  world.put_all(state);
  const object::ChunkId& id = (last ? chunks().back() : chunks().front()).id();
  for (auto _ : state) {
    if (!world.spool->get(id)) state.SkipWithError("get failed");
  }
  perf::per(state, "byte", kPlainBytes);
}
BENCHMARK_CAPTURE(get, put_just_now, true);
BENCHMARK_CAPTURE(get, put_before, false);

void stage(benchmark::State& state) {
  const testing::TempDir folder;
  const auto staging = *Staging::open(os::real_disk(), (folder / "staging").string(),
                                      crypto::Secret::copy_of(Bytes(32, std::byte{9})), os::real_random());
  const Bytes plain = seal::example::text(kSmallBytes, 1);
  constexpr std::uint32_t kFilesAChunk = kPlainBytes / kSmallBytes;
  std::uint32_t count = 0;
  for (auto _ : state) {
    const ChunkKey chunk{1 + count / kFilesAChunk};
    const std::uint32_t offset = count % kFilesAChunk * kSmallBytes;
    if (!staging->append(chunk, offset, plain)) state.SkipWithError("append failed");
    if (++count % kFilesAChunk == 0) benchmark::DoNotOptimize(staging->remove(chunk));
  }
  perf::per(state, "file");
}
BENCHMARK(stage)->UseRealTime();

}  // namespace
}  // namespace coffer::spool
