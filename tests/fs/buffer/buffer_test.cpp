#include "fs/buffer/buffer.h"

#include <gtest/gtest.h>

#include <chrono>
#include <thread>

#include "tests/testing/seeded_random.h"

namespace coffer::buffer {
namespace {

using namespace std::chrono_literals;

constexpr InodeId kFile{7};
const os::SteadyTime kSoon = std::chrono::steady_clock::now() + 20s;

Bytes filled(std::size_t count, char with) { return Bytes(count, static_cast<std::byte>(with)); }

std::string read_text(const Buffer& buffer, std::uint64_t at, std::size_t count) {
  Bytes into = filled(count, '.');
  buffer.read(kFile, FileOffset(at), into);
  return std::string(as_text(into));
}

void write_text(Buffer& buffer, std::uint64_t at, std::string_view text) {
  ASSERT_TRUE(buffer.write(kFile, FileOffset(at), as_bytes(text), 1).accepted);
}

TEST(Buffer, ReadsWhatWasWrittenAndSaysWhichPartsItHas) {
  Buffer buffer;
  write_text(buffer, 2, "abc");
  write_text(buffer, 8, "xy");
  Bytes into = filled(10, '.');
  const std::vector<Range> expected{{2, 5}, {8, 10}};
  EXPECT_EQ(buffer.read(kFile, FileOffset(0), into), expected);
  EXPECT_EQ(as_text(into), "..abc...xy");
  EXPECT_EQ(buffer.summary(kFile).end, 10u);
  EXPECT_EQ(buffer.summary(kFile).bytes, 5u);
}

TEST(Buffer, JoinsNeighboursWhateverTheirOrder) {
  Buffer buffer;
  write_text(buffer, 4, "cd");
  write_text(buffer, 0, "zz");
  EXPECT_EQ(buffer.write(kFile, FileOffset(2), as_bytes("ab"), 1).run_bytes, 6u);
  const DirtyFile dirty = buffer.snapshot(kFile);
  ASSERT_EQ(dirty.ranges.size(), 1u);
  EXPECT_EQ(dirty.ranges[0].begin(), 0u);
  EXPECT_EQ(dirty.ranges[0].end(), 6u);
}

TEST(Buffer, LetsTheNewestWriteWin) {
  Buffer buffer;
  write_text(buffer, 0, "aaaaaaaa");
  write_text(buffer, 2, "bb");
  write_text(buffer, 6, "cccc");
  EXPECT_EQ(read_text(buffer, 0, 10), "aabbaacccc");
}

TEST(Buffer, TakesASequenceOfSmallWritesWithoutManyBlocks) {
  Buffer buffer;
  const Bytes page = filled(4096, 'p');
  for (std::uint64_t at = 0; at < (8u << 20); at += page.size()) {
    ASSERT_TRUE(buffer.write(kFile, FileOffset(at), page, 1).accepted);
  }
  EXPECT_LE(buffer.used_bytes(), (8u << 20) + kBlockBytesMax);  // Growing blocks waste at most half of the last one.
}

TEST(Buffer, KeepsWhatIsWrittenOverARangeWhileItIsBeingCommitted) {
  Buffer buffer;
  write_text(buffer, 0, "oldoldold");
  const DirtyFile dirty = buffer.snapshot(kFile);
  write_text(buffer, 3, "NEW");
  write_text(buffer, 9, "tail");
  Bytes committed = filled(9, '.');
  dirty.ranges[0].copy_to(0, committed);
  EXPECT_EQ(as_text(committed), "oldoldold");
  buffer.forget(kFile, dirty.version, {0, 9});
  EXPECT_EQ(read_text(buffer, 0, 13), "...NEW...tail");
}

TEST(Buffer, KeepsASnapshotReadableUntilItIsForgotten) {
  Buffer buffer;
  write_text(buffer, 0, "abcdef");
  const DirtyFile dirty = buffer.snapshot(kFile);
  EXPECT_EQ(read_text(buffer, 0, 6), "abcdef");
  buffer.forget(kFile, dirty.version, {0, 4});
  EXPECT_EQ(read_text(buffer, 0, 6), "....ef");
  EXPECT_EQ(buffer.inodes().size(), 1u);
  buffer.forget(kFile, dirty.version, {4, 6});
  EXPECT_TRUE(buffer.inodes().empty());
}

// Claim: a snapshot of a file that was emptied since does not take what was written afterwards.
TEST(Buffer, ForgetsNothingThatCameAfterATruncate) {
  Buffer buffer;
  write_text(buffer, 0, "first");
  const DirtyFile dirty = buffer.snapshot(kFile);
  buffer.truncate(kFile, 0);
  write_text(buffer, 0, "again");
  buffer.forget(kFile, dirty.version, {0, 5});
  EXPECT_EQ(read_text(buffer, 0, 5), "again");
}

TEST(Buffer, CutsAtATruncate) {
  Buffer buffer;
  write_text(buffer, 0, "abcdef");
  buffer.truncate(kFile, 3);
  EXPECT_EQ(buffer.summary(kFile).end, 3u);
  write_text(buffer, 5, "z");
  EXPECT_EQ(read_text(buffer, 0, 6), "abc..z");
}

TEST(Buffer, RemembersTheTimeOfTheLastWriteUntilItIsSetExplicitly) {
  Buffer buffer;
  buffer.write(kFile, FileOffset(0), as_bytes("a"), 100);
  buffer.write(kFile, FileOffset(1), as_bytes("b"), 200);
  EXPECT_EQ(buffer.snapshot(kFile).mtime_ns, 200);
  buffer.forget_mtime(kFile);
  EXPECT_EQ(buffer.snapshot(kFile).mtime_ns, std::nullopt);
  buffer.write(kFile, FileOffset(2), as_bytes("c"), 300);
  EXPECT_EQ(buffer.summary(kFile).mtime_ns, 300);
}

TEST(Buffer, TakesNothingBeyondItsBudget) {
  Buffer buffer(100);
  ASSERT_TRUE(buffer.write(kFile, FileOffset(0), filled(80, 'a'), 1).accepted);
  EXPECT_FALSE(buffer.write(kFile, FileOffset(80), filled(30, 'b'), 1).accepted);
  EXPECT_EQ(buffer.summary(kFile).end, 80u);
  const auto waited = buffer.wait_for_room(30, std::chrono::steady_clock::now(), {});
  ASSERT_FALSE(waited);
  EXPECT_EQ(waited.error().fault, Fault::full);
}

TEST(Buffer, WakesAWriterWhenRoomIsMade) {
  Buffer buffer(100);
  ASSERT_TRUE(buffer.write(kFile, FileOffset(0), filled(80, 'a'), 1).accepted);
  std::thread committer([&] {
    const DirtyFile dirty = buffer.snapshot(kFile);
    buffer.forget(kFile, dirty.version, {0, 80});
  });
  EXPECT_TRUE(buffer.wait_for_room(90, kSoon, {}));
  committer.join();
}

TEST(Buffer, EndsAWaitWhenItIsInterrupted) {
  Buffer buffer(100);
  ASSERT_TRUE(buffer.write(kFile, FileOffset(0), filled(80, 'a'), 1).accepted);
  std::stop_source interrupt;
  std::thread user([&] { interrupt.request_stop(); });
  const auto waited = buffer.wait_for_room(90, kSoon, interrupt.get_token());
  user.join();
  ASSERT_FALSE(waited);
  EXPECT_EQ(waited.error().fault, Fault::stopped);
}

// Claim: whatever is written, cut, snapshotted and forgotten, the buffer shows what a plain array shows.
//
// Method: forgotten bytes go to a second array, as they would into the spool; both together are compared.
TEST(Buffer, ShowsWhatAnArrayWouldUnderRandomOperations) {
  constexpr std::size_t kBytes = 40'000;
  for (unsigned seed = 0; seed < 30; ++seed) {
    testing::SeededRandom random(seed);
    Buffer buffer;
    Bytes model(kBytes, std::byte{0});
    Bytes below(kBytes, std::byte{0});
    std::vector<DirtyFile> snapshots;
    for (unsigned step = 0; step < 300; ++step) {
      SCOPED_TRACE(::testing::Message() << "seed " << seed << ", step " << step);
      const std::uint64_t at = random.below(kBytes - 1);
      const std::size_t count = 1 + random.below(std::min<std::uint64_t>(kBytes - at, 5000));
      switch (random.below(8)) {
        case 0: snapshots.push_back(buffer.snapshot(kFile)); break;
        case 1: {
          if (snapshots.empty()) break;
          const DirtyFile dirty = std::move(snapshots.front());  // In the order in which they were taken.
          snapshots.erase(snapshots.begin());
          for (const DirtyRange& range : dirty.ranges) {
            range.copy_to(range.begin(), MutableByteView(below).subspan(range.begin(), range.bytes()));
            buffer.forget(kFile, dirty.version, {range.begin(), range.end()});
          }
          break;
        }
        case 2: {  // The committer truncates only between commits.
          if (!snapshots.empty()) break;
          buffer.truncate(kFile, at);
          std::fill(model.begin() + static_cast<std::ptrdiff_t>(at), model.end(), std::byte{0});
          std::fill(below.begin() + static_cast<std::ptrdiff_t>(at), below.end(), std::byte{0});
          break;
        }
        default: {
          const Bytes bytes = random.bytes(count);
          ASSERT_TRUE(buffer.write(kFile, FileOffset(at), bytes, 1).accepted);
          std::copy(bytes.begin(), bytes.end(), model.begin() + static_cast<std::ptrdiff_t>(at));
        }
      }
      Bytes seen = below;
      buffer.read(kFile, FileOffset(0), seen);
      ASSERT_EQ(seen, model);
    }
    snapshots.clear();
    buffer.discard(kFile);
    EXPECT_EQ(buffer.used_bytes(), 0u);
  }
}

}  // namespace
}  // namespace coffer::buffer
