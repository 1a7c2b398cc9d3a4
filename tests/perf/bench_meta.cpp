// LINK: fs_meta
//
// What the tree costs: a small file as tar makes it, a commit, a change that survives a power cut, a name. With TMPDIR
// on a tmpfs the disk is left out.
#include <benchmark/benchmark.h>

#include <chrono>
#include <memory>
#include <string>

#include "common/base/check.h"
#include "tests/fs/meta/tree_world.h"
#include "tests/perf/rates.h"

namespace coffer::meta {
namespace {

constexpr std::uint32_t kSmallBytes = 8192;
constexpr std::uint32_t kFilesAChunk = 128;
constexpr std::uint64_t kFilesAFolder = 16;

/// Makes small files in small folders, as an archive of sources brings them.
class Untar {
 public:
  explicit Untar(TreeWorld& world) : world_(world) {}

  /// What one file asks of the tree between open(O_CREAT) and the end of close(2).
  void file(bool with_content) {
    if (made_count_ % kFilesAFolder == 0) folder_ = world_.folder("folder" + std::to_string(made_count_));
    const InodeId inode =
        world_->create(folder_, "file" + std::to_string(made_count_), {.mode = S_IFREG | 0600})->inode;
    ++made_count_;
    world_->pin(inode);
    if (with_content) close(inode);
    AttributeChange change;
    change.mode = 0644;
    change.mtime_ns = 1'600'000'000'000'000'000;
    benchmark::DoNotOptimize(world_->change(inode, change));
    world_->unpin(inode);
  }

  /// The server has all that was made.
  void store() {
    seal();
    world_.store_all();
  }

 private:
  /// What the flush of a file's only piece records, and its share of the chunk that it is batched into.
  void close(InodeId inode) {
    const PieceId piece = id_of<PieceId>(made_count_);
    benchmark::DoNotOptimize(world_->find_piece(piece));
    if (!chunk_) chunk_ = *world_->add_open_chunk();
    const std::uint32_t offset = filled_ * kSmallBytes;
    world_->keep({*chunk_, offset, kSmallBytes});
    Content content;
    content.extents = {{FileOffset(0), kSmallBytes, *chunk_, offset, piece}};
    content.bytes = kSmallBytes;
    benchmark::DoNotOptimize(world_->record(inode, content));
    if (++filled_ == kFilesAChunk) seal();
  }
  void seal() {
    if (!chunk_) return;
    const std::uint32_t bytes = filled_ * kSmallBytes;
    benchmark::DoNotOptimize(world_->chunk_sealed(*chunk_, world_.chunk_id(++sealed_count_), bytes, bytes));
    chunk_.reset();
    filled_ = 0;
  }

  TreeWorld& world_;
  InodeId folder_{};
  std::optional<ChunkKey> chunk_;
  std::uint32_t filled_ = 0;
  std::uint64_t made_count_ = 0, sealed_count_ = 0;
};

using Time = std::chrono::steady_clock;
double seconds_since(Time::time_point begin) { return std::chrono::duration<double>(Time::now() - begin).count(); }

void small_file(benchmark::State& state, bool with_content) {
  TreeWorld world;
  Untar untar(world);
  for (auto _ : state) untar.file(with_content);
  perf::per(state, "file");
}
BENCHMARK_CAPTURE(small_file, names_alone, false)->Iterations(20'000)->UseRealTime()->MeasureProcessCPUTime();
BENCHMARK_CAPTURE(small_file, with_content, true)->Iterations(20'000)->UseRealTime()->MeasureProcessCPUTime();

/// Drafted, encoded and acknowledged; their chunks are stored. Sealing and sending are not in it.
void commit(benchmark::State& state) {
  TreeWorld world;
  Untar untar(world);
  const auto count = static_cast<std::uint64_t>(state.range(0));
  for (auto _ : state) {
    for (std::uint64_t i = 0; i < count; ++i) untar.file(true);
    untar.store();
    const Time::time_point begin = Time::now();
    const std::size_t commits = world.commit_all().size();
    state.SetIterationTime(seconds_since(begin));
    state.counters["commits"] = static_cast<double>(commits);
  }
  perf::per(state, "file", count);
}
BENCHMARK(commit)->Arg(1)->Iterations(500)->UseManualTime();
BENCHMARK(commit)->Arg(100)->Iterations(50)->UseManualTime();
BENCHMARK(commit)->Arg(4'000)->Iterations(5)->UseManualTime();

/// What an fsync(2) asks of the tree before it asks the server: 4 KiB of a file, and a sync of the redo log.
void power_safe(benchmark::State& state) {
  TreeWorld world;
  const InodeId inode = world.file("database");
  for (auto _ : state) {
    world.write(inode, 0, 4096);
    benchmark::DoNotOptimize(world->power_safe());
  }
  perf::per(state, "fsync");
}
BENCHMARK(power_safe)->UseRealTime()->MeasureProcessCPUTime();

// ---- names ---------------------------------------------------------------------------------------------------------

constexpr std::uint64_t kNames = 100'000;

/// A folder of kNames files, made once for the benchmarks that read it.
struct LargeFolder {
  LargeFolder() : folder(world.folder("large")) {
    for (std::uint64_t i = 0; i < kNames; ++i) {
      COFFER_CHECK(world->create(folder, "file" + std::to_string(i), {.mode = S_IFREG | 0644}).has_value());
    }
  }
  TreeWorld world;
  InodeId folder;
};
LargeFolder& large_folder() {
  static const auto made = std::make_unique<LargeFolder>();
  return *made;
}

void lookup(benchmark::State& state) {
  LargeFolder& large = large_folder();
  std::uint64_t i = 0;
  for (auto _ : state) {
    i = (i + 7919) % kNames;  // A prime: each name is met, and none beside the last.
    benchmark::DoNotOptimize(large.world->lookup(large.folder, "file" + std::to_string(i)));
  }
  perf::per(state, "name");
}
BENCHMARK(lookup);

/// As readdirplus asks, with attributes.
void list(benchmark::State& state) {
  LargeFolder& large = large_folder();
  for (auto _ : state) {
    std::uint64_t after = 0, seen = 0;
    for (;;) {
      const auto page = large.world->entries(large.folder, after, 256);
      if (!page || page->empty()) break;
      after = page->back().cookie;
      seen += page->size();
    }
    if (seen != kNames) state.SkipWithError("names are missing");
  }
  perf::per(state, "name", kNames);
}
BENCHMARK(list)->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace coffer::meta
