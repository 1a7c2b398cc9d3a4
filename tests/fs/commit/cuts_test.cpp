// Where a file is cut depends on its content, whatever the order and the grouping in which the kernel hands it over.
#include <gtest/gtest.h>

#include <algorithm>
#include <set>
#include <utility>
#include <vector>

#include "fs/chunk/chunker.h"
#include "tests/fs/commit/pipeline.h"

namespace coffer::commit {
namespace {

using testing::Pipeline;
using testing::PipelineOptions;
using testing::SeededRandom;

const Bytes& content() {
  static const Bytes bytes = SeededRandom(1).bytes(32u << 20);
  return bytes;
}

using Pieces = std::vector<std::pair<std::uint64_t, std::uint64_t>>;  // Begin and end.

/// As one cut over all of it would make them.
const Pieces& expected() {
  static const Pieces pieces = [] {
    SeededRandom random(7);
    const keys::VaultKey key = keys::VaultKey::generate(random);
    chunk::Chunker chunker(key.derive(keys::kChunkerLabel, object::VaultId()));
    Pieces cut;
    for (std::uint64_t at = 0; at < content().size();) {
      const std::uint64_t end = at + chunker.cut(ByteView(content()).subspan(at), true);
      cut.emplace_back(at, end);
      at = end;
    }
    return cut;
  }();
  return pieces;
}

/// Bytes of the recorded file that are in other pieces than expected().
std::uint64_t differently_cut(Pipeline& pipeline, InodeId inode) {
  const auto extents = pipeline.tree->extents(inode, FileOffset(0), FileOffset(content().size()));
  EXPECT_TRUE(extents);
  const std::set<std::pair<std::uint64_t, std::uint64_t>> wanted(expected().begin(), expected().end());
  std::uint64_t sum = 0;
  for (const Extent& extent : *extents) {
    if (!wanted.contains({extent.at.value(), extent.end().value()})) sum += extent.bytes;
  }
  return sum;
}

void expect_content(Pipeline& pipeline, InodeId inode) {
  const auto found = pipeline.read_all(inode);
  ASSERT_TRUE(found) << found.error().what;
  EXPECT_TRUE(*found == content());
}

void write(Pipeline& pipeline, InodeId inode, const Range& part) {
  pipeline.write(inode, part.begin, ByteView(content()).subspan(part.begin, part.bytes()));
  ASSERT_LE(pipeline.committer->buffered_bytes(), 64u << 20);
}

/// All of the content in parts of a random size, in order.
std::vector<Range> parts_of_content(SeededRandom& random, std::uint64_t bytes_max) {
  std::vector<Range> parts;
  for (std::uint64_t at = 0; at < content().size(); at = parts.back().end) {
    parts.push_back({at, std::min<std::uint64_t>(content().size(), at + 1 + random.below(bytes_max))});
  }
  return parts;
}

// Claim: as long as the buffer holds what lies between, even a random order gives the very pieces of the plain one.
TEST(Cuts, AreThoseOfOneSequentialWriteWhateverTheOrderOfWrites) {
  for (unsigned seed = 0; seed < 3; ++seed) {
    SCOPED_TRACE(seed);
    SeededRandom random(seed);
    Pipeline pipeline({.committer = {.run_bytes = 2u << 20, .open_chunk_delay = std::chrono::hours(1)}});
    const InodeId inode = pipeline.create("file");
    std::vector<Range> parts = parts_of_content(random, 1u << 20);
    // Windows of up to 16 MiB in a random order; what was left of one is written with the next.
    for (std::size_t first = 0; first < parts.size();) {
      const std::size_t count = std::min<std::size_t>(1 + random.below(32), parts.size() - first);
      for (std::size_t i = count; i > 1; --i) std::swap(parts[first + i - 1], parts[first + random.below(i)]);
      first += count;
    }
    for (const Range& part : parts) write(pipeline, inode, part);
    pipeline.flush(inode);
    EXPECT_EQ(differently_cut(pipeline, inode), 0u);
    expect_content(pipeline, inode);
  }
}

// Claim: a writer that is faster than the sealing changes no cut: what is committed for want of room is cut as well.
TEST(Cuts, AreThoseOfOneSequentialWriteWhenTheBufferIsFull) {
  Pipeline pipeline(
      {.committer = {.buffer_bytes_max = 8u << 20, .run_bytes = 1u << 30, .open_chunk_delay = std::chrono::hours(1)}});
  const InodeId inode = pipeline.create("file");
  for (std::uint64_t at = 0; at < content().size(); at += 64u << 10) write(pipeline, inode, {at, at + (64u << 10)});
  pipeline.flush(inode);
  EXPECT_EQ(differently_cut(pipeline, inode), 0u);
}

// Claim: gaps that the kernel fills late, and pages that it writes twice, change next to nothing, in little memory.
//
// Method: in order, but one part in 30 comes up to 8 MiB later, and then with a page of its neighbours again.
TEST(Cuts, AreNearlyThoseOfOneSequentialWriteWhenGapsAreFilledLate) {
  constexpr std::size_t kBufferBytes = 16u << 20;
  std::uint64_t different = 0;
  for (unsigned seed = 0; seed < 3; ++seed) {
    SCOPED_TRACE(seed);
    SeededRandom random(seed);
    Pipeline pipeline(
        {.committer = {
             .buffer_bytes_max = kBufferBytes, .run_bytes = 2u << 20, .open_chunk_delay = std::chrono::hours(1)}});
    const InodeId inode = pipeline.create("file");
    std::vector<std::pair<std::uint64_t, Range>> order;  // By when it comes.
    for (const Range& part : parts_of_content(random, 256u << 10)) {
      if (random.below(30) != 0) {
        order.emplace_back(part.end, part);
        continue;
      }
      const Range with_pages = {part.begin - std::min<std::uint64_t>(part.begin, 4096),
                                std::min<std::uint64_t>(part.end + 4096, content().size())};
      order.emplace_back(part.end + random.below(8u << 20), with_pages);
    }
    std::ranges::stable_sort(order, {}, &std::pair<std::uint64_t, Range>::first);
    for (const auto& [when, part] : order) {
      write(pipeline, inode, part);
      ASSERT_LE(pipeline.committer->buffered_bytes(), kBufferBytes + (1u << 20));
    }
    pipeline.flush(inode);
    different += differently_cut(pipeline, inode);
    expect_content(pipeline, inode);
  }
  EXPECT_LE(different, 3 * content().size() / 100);
}

// Claim: a flush in the middle costs the piece that it cuts through, and no more.
TEST(Cuts, FallBackIntoStepSoonAfterAFlush) {
  constexpr std::uint64_t kBytesForEachFlush = 1u << 20;
  for (unsigned seed = 0; seed < 3; ++seed) {
    SCOPED_TRACE(seed);
    SeededRandom random(seed);
    Pipeline pipeline({.committer = {.run_bytes = 2u << 20, .open_chunk_delay = std::chrono::hours(1)}});
    const InodeId inode = pipeline.create("file");
    unsigned flush_count = 0;
    for (const Range& part : parts_of_content(random, 512u << 10)) {
      write(pipeline, inode, part);
      if (random.below(20) != 0) continue;
      pipeline.flush(inode);
      ++flush_count;
    }
    pipeline.flush(inode);
    EXPECT_LE(differently_cut(pipeline, inode), flush_count * kBytesForEachFlush) << flush_count << " flushes";
    expect_content(pipeline, inode);
  }
}

// Claim: whatever the order, memory stays bounded and the content right, also where no good cut can be found.
TEST(Cuts, StayWithinTheBufferWhateverTheOrder) {
  constexpr std::size_t kBufferBytes = 8u << 20;
  SeededRandom random(3);
  Pipeline pipeline(
      {.committer = {
           .buffer_bytes_max = kBufferBytes, .run_bytes = 2u << 20, .open_chunk_delay = std::chrono::hours(1)}});
  const InodeId inode = pipeline.create("file");
  std::vector<Range> parts = parts_of_content(random, 200'000);
  for (std::size_t i = parts.size(); i > 1; --i) std::swap(parts[i - 1], parts[random.below(i)]);
  for (const Range& part : parts) {
    write(pipeline, inode, part);
    ASSERT_LE(pipeline.committer->buffered_bytes(), kBufferBytes + (1u << 20));
  }
  pipeline.flush(inode);
  expect_content(pipeline, inode);
}

}  // namespace
}  // namespace coffer::commit
