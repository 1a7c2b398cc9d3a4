// LINK: fs_commit fs_fetch
//
// What the way from write(2) to `spooled`, and back from the spool, costs: a file of 1 GiB, for each plain byte.
// With TMPDIR on a tmpfs the disk is left out.
#include <benchmark/benchmark.h>

#include <algorithm>
#include <chrono>
#include <string>

#include "tests/fs/commit/pipeline.h"
#include "tests/perf/rates.h"

namespace coffer::commit {
namespace {

constexpr std::size_t kFileBytes = 1u << 30;
constexpr std::size_t kWriteBytes = 1u << 20;
constexpr std::size_t kSampleBytes = 64u << 20;

/// Makes each repetition of the sample different, so that nothing is found twice.
Bytes block(const Bytes& sample, std::size_t at) {
  const std::size_t from = at % kSampleBytes;
  Bytes bytes(sample.begin() + static_cast<std::ptrdiff_t>(from),
              sample.begin() + static_cast<std::ptrdiff_t>(from + kWriteBytes));
  for (std::size_t offset = 0; offset + 8 <= bytes.size(); offset += 64u << 10) {
    std::memcpy(bytes.data() + offset, &at, sizeof(at));
  }
  return bytes;
}

void write_file(testing::Pipeline& pipeline, InodeId inode, const Bytes& sample, benchmark::State& state) {
  for (std::size_t at = 0; at < kFileBytes; at += kWriteBytes) {
    const Bytes bytes = block(sample, at);
    if (!pipeline.committer->write(inode, FileOffset(at), bytes)) state.SkipWithError("write failed");
  }
  if (!pipeline.committer->flush(inode)) state.SkipWithError("flush failed");
}

testing::PipelineOptions roomy() {
  testing::PipelineOptions options;
  options.spool_bytes_max = std::uint64_t{8} << 30;
  return options;
}

void write_large_file(benchmark::State& state, bool compressible) {
  const Bytes sample =
      compressible ? testing::dump_text(kSampleBytes, 1) : testing::SeededRandom(1).bytes(kSampleBytes);
  for (auto _ : state) {
    testing::Pipeline pipeline(roomy());
    const InodeId inode = pipeline.create("file");
    const auto begin = std::chrono::steady_clock::now();
    write_file(pipeline, inode, sample, state);
    state.SetIterationTime(std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count());
    state.counters["spool_percent"] =
        100.0 * static_cast<double>(pipeline.spool->used_bytes()) / static_cast<double>(kFileBytes);
  }
  perf::per(state, "byte", kFileBytes);
}

void read_large_file(benchmark::State& state, bool compressible) {
  const Bytes sample =
      compressible ? testing::dump_text(kSampleBytes, 1) : testing::SeededRandom(1).bytes(kSampleBytes);
  testing::Pipeline pipeline(roomy());
  const InodeId inode = pipeline.create("file");
  write_file(pipeline, inode, sample, state);
  for (auto _ : state) {
    Bytes into(128u << 10);
    for (std::size_t at = 0; at < kFileBytes; at += into.size()) {
      const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(30);
      if (!pipeline.fetcher->read(inode, FileOffset(at), into, deadline)) state.SkipWithError("read failed");
    }
  }
  perf::per(state, "byte", kFileBytes);
}

/// Files of 8 KiB, each written and closed: for each file.
void write_small_files(benchmark::State& state) {
  const Bytes sample = testing::dump_text(kSampleBytes, 1);
  constexpr std::size_t kFiles = 4000;
  constexpr std::size_t kSmallBytes = 8192;
  for (auto _ : state) {
    testing::Pipeline pipeline(roomy());
    const auto begin = std::chrono::steady_clock::now();
    for (std::size_t i = 0; i < kFiles; ++i) {
      const InodeId inode = pipeline.create("file" + std::to_string(i));
      pipeline.write(inode, 0, ByteView(sample).subspan(i * kSmallBytes, kSmallBytes));
      pipeline.flush(inode);
    }
    state.SetIterationTime(std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count());
  }
  perf::per(state, "file", kFiles);
}

BENCHMARK_CAPTURE(write_large_file, random, false)->UseManualTime()->Iterations(1)->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(write_large_file, text, true)->UseManualTime()->Iterations(1)->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(read_large_file, random, false)->UseRealTime()->Iterations(1)->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(read_large_file, text, true)->UseRealTime()->Iterations(1)->Unit(benchmark::kMillisecond);
BENCHMARK(write_small_files)->UseManualTime()->Iterations(1)->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace coffer::commit
