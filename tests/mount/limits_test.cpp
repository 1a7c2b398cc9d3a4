// Bounds, refusals and locks: what fs/POSIX.md says of them.
#include <dirent.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <set>
#include <string>

#include "tests/mount/side_by_side.h"

namespace coffer {
namespace {

class ALimit : public SideBySide {
 protected:
  std::string at(const std::string& name) const { return mounted() + "/" + name; }
  int open_new(const std::string& name) const { return ::open(at(name).c_str(), O_RDWR | O_CREAT, 0644); }
};

std::set<std::string> names_in(const std::string& path) {
  std::set<std::string> names;
  DIR* const folder = ::opendir(path.c_str());
  while (const dirent* entry = ::readdir(folder)) {
    EXPECT_TRUE(names.insert(entry->d_name).second) << "twice: " << entry->d_name;
  }
  ::closedir(folder);
  names.erase(".");
  names.erase("..");
  return names;
}

TEST_F(ALimit, IsNoneForTheBytesOfANameOfUpTo255) {
  std::set<std::string> made;
  for (int byte = 1; byte < 256; ++byte) {
    if (byte == '/') continue;
    const std::string name(static_cast<std::size_t>(255 - byte % 7), static_cast<char>(byte));
    ASSERT_EQ(::mknod(at(name).c_str(), S_IFREG | 0644, 0), 0) << byte;
    made.insert(name);
  }
  mount();
  EXPECT_EQ(names_in(mounted()), made);
}

TEST_F(ALimit, OfAFileIsFarAndHolesCostNothing) {
  constexpr off_t kBytes = off_t{8} << 40;
  const int fd = open_new("file");
  ASSERT_EQ(::pwrite(fd, "end", 3, kBytes - 3), 3);
  ::close(fd);
  mount();
  struct stat st {};
  ASSERT_EQ(::stat(at("file").c_str(), &st), 0);
  EXPECT_EQ(st.st_size, kBytes);
  EXPECT_LE(st.st_blocks, 16);
  int again = ::open(at("file").c_str(), O_RDONLY);
  const off_t data = ::lseek(again, 0, SEEK_DATA);
  EXPECT_GE(data, kBytes - 4096);
  EXPECT_EQ(::lseek(again, data, SEEK_HOLE), kBytes);
  EXPECT_EQ(::lseek(again, 5, SEEK_HOLE), 5);
  char end[4] = {};
  EXPECT_EQ(::pread(again, end, 4, kBytes - 3), 3);
  EXPECT_STREQ(end, "end");
  ::close(again);
  again = ::open(at("file").c_str(), O_RDWR);
  EXPECT_EQ(::ftruncate(again, INT64_MAX), 0);
  EXPECT_EQ(::pwrite(again, "x", 1, INT64_MAX), -1);
  ::close(again);
}

TEST_F(ALimit, OfXattrsIs64KiBEachAndAMebibyteTogether) {
  ::close(open_new("file"));
  const std::string value(64 << 10, 'v');
  EXPECT_EQ(::setxattr(at("file").c_str(), "user.large", value.data(), value.size() + 1, 0), -1);
  EXPECT_EQ(errno, E2BIG);
  int count = 0;
  while (::setxattr(at("file").c_str(), ("user." + std::to_string(count)).c_str(), value.data(), value.size(), 0) == 0)
    ++count;
  EXPECT_EQ(errno, ENOSPC);
  EXPECT_EQ(count, 15);
  const std::string name = "user." + std::string(251, 'n');
  EXPECT_EQ(::setxattr(at("file").c_str(), name.c_str(), "v", 1, 0), -1);
  EXPECT_EQ(errno, ERANGE);
  EXPECT_EQ(::setxattr(at("file").c_str(), name.substr(0, 255).c_str(), "v", 1, 0), 0);
}

// Claim: what FUSE cannot do is refused with the errno by which programs know to do it another way.
TEST_F(ALimit, OfFuseIsToldByTheErrnoThatProgramsKnow) {
  const int fd = open_new("file");
  ASSERT_EQ(::write(fd, "text", 4), 4);
  const auto refused = [](int result) { return result < 0 ? errno : 0; };
  long flags = 0;
  int number = 0;
  EXPECT_EQ(refused(::open(mounted().c_str(), O_TMPFILE | O_RDWR, 0600)), EOPNOTSUPP);
  EXPECT_EQ(refused(::fallocate(fd, FALLOC_FL_COLLAPSE_RANGE, 0, 4096)), EOPNOTSUPP);
  EXPECT_EQ(refused(::fallocate(fd, FALLOC_FL_INSERT_RANGE, 0, 4096)), EOPNOTSUPP);
  EXPECT_EQ(refused(::ioctl(fd, FICLONE, fd)), EOPNOTSUPP);
  EXPECT_EQ(refused(::ioctl(fd, FS_IOC_GETFLAGS, &flags)), ENOTTY);
  EXPECT_EQ(refused(::ioctl(fd, FS_IOC_SETFLAGS, &flags)), ENOTTY);
  EXPECT_EQ(refused(::ioctl(fd, TCGETS, &flags)), ENOTTY);
  EXPECT_EQ(refused(::ioctl(fd, FIONREAD, &number)), 0);
  EXPECT_EQ(refused(::renameat2(AT_FDCWD, at("file").c_str(), AT_FDCWD, at("x").c_str(), RENAME_WHITEOUT)), EINVAL);
  EXPECT_EQ(refused(::setxattr(at("file").c_str(), "os2.name", "v", 1, 0)), EOPNOTSUPP);
  ::close(fd);
}

TEST_F(ALimit, OfSubfoldersIsNoneAndEachCountsAsALink) {
  for (int i = 0; i < 300; ++i) ASSERT_EQ(::mkdir(at(std::to_string(i)).c_str(), 0755), 0);
  struct stat st {};
  ASSERT_EQ(::stat(mounted().c_str(), &st), 0);
  EXPECT_EQ(st.st_nlink, 302u);
}

// Claim: a position in a folder stays good while names before and behind it come and go.
TEST_F(ALimit, IsNoneForHowLongAPositionInAFolderStaysGood) {
  for (int i = 0; i < 500; ++i) ::close(open_new("file" + std::to_string(i)));
  DIR* const folder = ::opendir(mounted().c_str());
  std::set<std::string> seen;
  for (int i = 0; i < 100; ++i) seen.insert(::readdir(folder)->d_name);
  const long position = ::telldir(folder);
  std::string next = ::readdir(folder)->d_name;
  for (int i = 0; i < 500; i += 2) {
    const std::string name = "file" + std::to_string(i);
    if (name != next) ::unlink(at(name).c_str());
    ::close(open_new("new" + std::to_string(i)));
  }
  ::rewinddir(folder);
  ::seekdir(folder, position);
  EXPECT_EQ(::readdir(folder)->d_name, next);
  seen.insert(next);
  while (const dirent* entry = ::readdir(folder)) EXPECT_TRUE(seen.insert(entry->d_name).second) << entry->d_name;
  for (int i = 1; i < 500; i += 2) EXPECT_TRUE(seen.contains("file" + std::to_string(i))) << i;
  ::closedir(folder);
}

// Claim: a program that renames what it reads comes to the end of the folder, and reads the new names once it rewinds.
TEST_F(ALimit, IsSetToAListingByWhatWasThereWhenItBegan) {
  constexpr int kFiles = 2000;
  for (int i = 0; i < kFiles; ++i) ::close(open_new("file" + std::to_string(i)));
  DIR* const folder = ::opendir(mounted().c_str());
  const auto list_and_rename = [&] {
    int listed = 0;
    for (const dirent* entry = ::readdir(folder); entry != nullptr && listed <= 3 * kFiles; entry = ::readdir(folder)) {
      if (entry->d_name[0] == '.') continue;
      ++listed;
      EXPECT_EQ(::rename(at(entry->d_name).c_str(), at("x" + std::string(entry->d_name)).c_str()), 0);
    }
    return listed;
  };
  EXPECT_EQ(list_and_rename(), kFiles);
  ::rewinddir(folder);
  EXPECT_EQ(list_and_rename(), kFiles);
  ::closedir(folder);
}

TEST_F(ALimit, BetweenLocksOfProcessesIsKept) {
  expect_same(R"sh(python3 - <<'END'
import fcntl, struct, multiprocessing
F_OFD_SETLK = 37
def ofd(kind, at, bytes): return struct.pack('hhqqi4x', kind, 0, at, bytes, 0)
def other(how, found):
    g = open('lock', 'r+')
    try:
        if how == 'flock': fcntl.flock(g, fcntl.LOCK_EX | fcntl.LOCK_NB)
        elif how == 'posix': fcntl.lockf(g, fcntl.LOCK_EX | fcntl.LOCK_NB, 10, 5)
        else: fcntl.fcntl(g, F_OFD_SETLK, ofd(fcntl.F_WRLCK, 0, 6))
        found.put('free')
    except OSError as e: found.put(e.errno)
def ask():
    for how in 'flock', 'posix', 'ofd':
        found = multiprocessing.Queue(); p = multiprocessing.Process(target=other, args=(how, found)); p.start(); print(how, found.get()); p.join()
f = open('lock', 'w+'); fcntl.flock(f, fcntl.LOCK_EX); ask(); fcntl.flock(f, fcntl.LOCK_UN)
fcntl.lockf(f, fcntl.LOCK_EX, 10, 5); ask(); fcntl.lockf(f, fcntl.LOCK_UN, 10, 5)
fcntl.fcntl(f, F_OFD_SETLK, ofd(fcntl.F_RDLCK, 0, 100)); ask()
END
  )sh");
}

// COFFER_LONG=1; prints what an entry costs as the folder grows.
TEST_F(ALimit, OfAFolderIsBeyondAMillionEntries) {
  if (std::getenv("COFFER_LONG") == nullptr) GTEST_SKIP() << "a long test";
  constexpr int kEntries = 1'000'000, kStep = 100'000;
  for (int i = 0; i < kEntries; i += kStep) {
    const auto begin = std::chrono::steady_clock::now();
    for (int j = i; j < i + kStep; ++j)
      ASSERT_EQ(::mknod(at("entry" + std::to_string(j)).c_str(), S_IFREG | 0644, 0), 0);
    const std::chrono::duration<double, std::micro> took = std::chrono::steady_clock::now() - begin;
    std::printf("%d entries: %.0f us each\n", i + kStep, took.count() / kStep);
  }
  const auto begin = std::chrono::steady_clock::now();
  EXPECT_EQ(names_in(mounted()).size(), std::size_t{kEntries});
  std::printf("listed in %.1f s\n", std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count());
  EXPECT_EQ(::access(at("entry999999").c_str(), F_OK), 0);
}

}  // namespace
}  // namespace coffer
