// LINK: fs_buffer
//
// What it costs to take written bytes, hand them on and forget them: a large file in writes of 128 KiB, as the kernel's
// writeback makes them, and a small one at once.
#include <benchmark/benchmark.h>

#include <vector>

#include "fs/buffer/buffer.h"
#include "tests/perf/rates.h"
#include "tests/testing/seeded_random.h"

namespace coffer::buffer {
namespace {

constexpr std::size_t kLarge = 16u << 20;
constexpr std::size_t kSmall = 8192;
constexpr std::size_t kWriteBytes = 128u << 10;
constexpr InodeId kFile{7};

void write(Buffer& buffer, ByteView bytes) {
  for (std::size_t at = 0; at < bytes.size(); at += kWriteBytes) {
    const ByteView part = bytes.subspan(at, std::min(kWriteBytes, bytes.size() - at));
    benchmark::DoNotOptimize(buffer.write(kFile, FileOffset(at), part, 1));
  }
}

/// Written, copied out as the cutter does, forgotten.
void pass(benchmark::State& state) {
  const auto count = static_cast<std::size_t>(state.range(0));
  const Bytes bytes = testing::SeededRandom(1).bytes(count);
  Buffer buffer;
  Bytes out(std::min<std::size_t>(count, 1u << 20));
  for (auto _ : state) {
    write(buffer, bytes);
    const DirtyFile dirty = buffer.snapshot(kFile);
    for (std::size_t at = 0; at < count; at += out.size()) dirty.ranges.front().copy_to(at, out);
    buffer.forget(kFile, dirty.version, {0, count});
  }
  perf::per(state, "byte", count);
  perf::per(state, "file");
}
BENCHMARK(pass)->Arg(kLarge)->Arg(kSmall);

/// What read(2) pays for bytes that are not flushed yet.
void read(benchmark::State& state) {
  const Bytes bytes = testing::SeededRandom(1).bytes(kLarge);
  Buffer buffer;
  write(buffer, bytes);
  Bytes into(kWriteBytes);
  std::size_t at = 0;
  for (auto _ : state) {
    benchmark::DoNotOptimize(buffer.read(kFile, FileOffset(at), into));
    at = (at + into.size()) % kLarge;
  }
  perf::per(state, "byte", into.size());
}
BENCHMARK(read);

}  // namespace
}  // namespace coffer::buffer
