#include "common/os/disk.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>

#include "tests/testing/seeded_random.h"
#include "tests/testing/temp_dir.h"

namespace coffer::os {
namespace {

using testing::TempDir;

mode_t mode_of(const std::string& path) {
  struct stat status {};
  EXPECT_EQ(stat(path.c_str(), &status), 0);
  return status.st_mode & 07777;
}

TEST(Disk, ReadsBackWhatItWrote) {
  const TempDir dir;
  auto file = real_disk().open(dir / "file", Open::create_new);
  ASSERT_TRUE(file);
  ASSERT_TRUE((*file)->write_at(as_bytes("hello world"), 5));
  ASSERT_TRUE((*file)->sync());
  EXPECT_EQ(*(*file)->size(), 16u);

  Bytes bytes(100);
  const auto got = (*file)->read_at(bytes, 11);
  ASSERT_TRUE(got);
  EXPECT_EQ(as_text(ByteView(bytes).first(*got)), "world");
}

// Claim: a long write, whose pages the kernel may forget, leaves the same bytes as a short one, wherever it begins and
// ends in a page, and leaves what stands before and behind it.
TEST(Disk, WritesLongRunsFromAndToAnyPlaceInAPage) {
  const TempDir dir;
  auto file = real_disk().open(dir / "file", Open::create_new);
  ASSERT_TRUE(file);
  constexpr std::size_t kLong = 256u << 10;
  Bytes expected(3 * kLong, std::byte{1});
  ASSERT_TRUE((*file)->write_at(expected, 0));
  testing::SeededRandom random(1);
  for (const std::size_t first : {0u, 1u, 4095u, 4096u, 70'000u}) {
    for (const std::size_t bytes : {kLong, kLong + 1, kLong + 4095, kLong + 4096, 2 * kLong}) {
      SCOPED_TRACE(::testing::Message() << bytes << " bytes at " << first);
      const Bytes written = random.bytes(bytes);
      std::ranges::copy(written, expected.begin() + static_cast<std::ptrdiff_t>(first));
      ASSERT_TRUE((*file)->write_at(written, first));
      ASSERT_TRUE((*file)->sync());
      Bytes read(expected.size());
      ASSERT_EQ((*file)->read_at(read, 0).value(), read.size());
      EXPECT_TRUE(read == expected);
    }
  }
}

// Claim: a long read, whose pages the kernel may forget, gives the same bytes as a short one, wherever it begins, and
// ends where the file ends; /dev/shm cannot forget pages.
TEST(Disk, ReadsLongRunsFromAnyPlaceInAPageToTheEndOfTheFile) {
  const Bytes expected = testing::SeededRandom(1).bytes(1'300'000);
  const TempDir on_disk;
  const TempDir in_memory("/dev/shm");
  for (const TempDir* dir : {&on_disk, &in_memory}) {
    auto file = real_disk().open(*dir / "file", Open::create_new);
    ASSERT_TRUE(file);
    ASSERT_TRUE((*file)->write_at(expected, 0));
    ASSERT_TRUE((*file)->sync());
    for (const std::size_t first : {0u, 1u, 4096u, 70'000u, 300'000u}) {
      Bytes read(1u << 20);
      const std::size_t there = std::min(read.size(), expected.size() - first);
      ASSERT_EQ((*file)->read_at(read, first).value(), there);
      EXPECT_TRUE(std::ranges::equal(ByteView(read).first(there), ByteView(expected).subspan(first, there)));
    }
  }
}

TEST(Disk, KeepsNewFilesAndFoldersToTheirOwner) {
  const TempDir dir;
  const mode_t before = umask(0);
  EXPECT_TRUE(real_disk().make_folder(dir / "a/b/c"));
  EXPECT_TRUE(real_disk().open(dir / "a/b/c/file", Open::create));
  umask(before);
  EXPECT_EQ(mode_of(dir / "a"), 0700u);
  EXPECT_EQ(mode_of(dir / "a/b/c"), 0700u);
  EXPECT_EQ(mode_of(dir / "a/b/c/file"), 0600u);
}

TEST(Disk, LeavesAnExistingFolderAsItIs) {
  const TempDir dir;
  ASSERT_EQ(mkdir((dir / "a").c_str(), 0755), 0);
  ASSERT_TRUE(real_disk().make_folder((dir / "a").string() + "/"));
  EXPECT_EQ(mode_of(dir / "a"), 0755u);
}

TEST(Disk, SaysWhichErrnoItMet) {
  const TempDir dir;
  const auto absent = real_disk().open(dir / "absent", Open::read);
  ASSERT_FALSE(absent);
  EXPECT_EQ(absent.error().fault, Fault::local_io);
  EXPECT_EQ(absent.error().code, ENOENT);

  ASSERT_TRUE(real_disk().open(dir / "there", Open::create_new));
  EXPECT_EQ(real_disk().open(dir / "there", Open::create_new).error().code, EEXIST);
  EXPECT_EQ(real_disk().make_folder(dir / "there/sub").error().code, ENOTDIR);
  EXPECT_EQ(real_disk().make_folder(dir / "there").error().code, ENOTDIR);
}

TEST(Disk, CallsAFullFileSystemFull) {
  const auto full = real_disk().open("/dev/full", Open::write);
  if (!full) GTEST_SKIP() << "no /dev/full here";
  const auto written = (*full)->write_at(as_bytes("x"), 0);
  ASSERT_FALSE(written);
  EXPECT_EQ(written.error().fault, Fault::full);
}

TEST(Disk, ReadsZerosWhereItPunchedAHole) {
  const TempDir dir;
  auto file = real_disk().open(dir / "file", Open::create);
  ASSERT_TRUE(file);
  const std::string before(100'000, 'x');
  ASSERT_TRUE((*file)->write_at(as_bytes(before), 0));
  ASSERT_TRUE((*file)->punch(10, 90'000));
  ASSERT_TRUE((*file)->punch(10, 0));
  std::string expected = before;
  std::fill_n(expected.begin() + 10, 90'000, '\0');
  EXPECT_EQ(as_text(*read_file(real_disk(), dir / "file", 100'000)), expected);
}

TEST(Disk, ListsNamesInOrder) {
  const TempDir dir;
  for (const char* name : {"b", "a", ".c"}) ASSERT_TRUE(real_disk().open(dir / name, Open::create));
  EXPECT_EQ(*real_disk().list(dir.path()), (std::vector<std::string>{".c", "a", "b"}));
  EXPECT_EQ(real_disk().list(dir / "absent").error().code, ENOENT);
  EXPECT_GT(*real_disk().free_bytes(dir.path()), 0u);
}

TEST(ReplaceFile, LeavesTheNewContentAloneAndPrivate) {
  const TempDir dir;
  ASSERT_TRUE(replace_file(real_disk(), dir / "file", as_bytes("first, and long")));
  ASSERT_TRUE(replace_file(real_disk(), dir / "file", as_bytes("second")));
  EXPECT_EQ(as_text(*read_file(real_disk(), dir / "file", 100)), "second");
  EXPECT_EQ(mode_of(dir / "file"), 0600u);
  EXPECT_EQ(real_disk().list(dir.path())->size(), 1u);
}

TEST(ReplaceFile, WritesOverWhatACrashLeft) {
  const TempDir dir;
  auto left = real_disk().open(dir / "file.new", Open::create);
  ASSERT_TRUE((*left)->write_at(as_bytes("much longer than what comes"), 0));
  ASSERT_TRUE(replace_file(real_disk(), dir / "file", as_bytes("short")));
  EXPECT_EQ(as_text(*read_file(real_disk(), dir / "file", 100)), "short");
}

TEST(ReadFile, RefusesAFileThatIsTooLong) {
  const TempDir dir;
  ASSERT_TRUE(replace_file(real_disk(), dir / "file", as_bytes("12345")));
  EXPECT_TRUE(read_file(real_disk(), dir / "file", 5));
  EXPECT_EQ(read_file(real_disk(), dir / "file", 4).error().fault, Fault::corrupt);
}

}  // namespace
}  // namespace coffer::os
