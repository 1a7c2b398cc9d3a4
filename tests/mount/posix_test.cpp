// What the kernel and the daemon must agree on, call by call.
//
// The test serves its own mount. Mappings are left to other processes: munmap(2) writes back while it holds the lock of
// the address space, which threads that serve the mount may need.
#include <dirent.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <fstream>
#include <iterator>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "tests/testing/command.h"
#include "tests/testing/eventually.h"
#include "tests/testing/stage.h"
#include "tests/testing/temp_dir.h"
#include "tests/testing/vault/local_mount.h"

namespace coffer {
namespace {

using testing::eventually;
using testing::LocalMount;
using testing::LocalVault;
using testing::TempDir;

class AMountedFolder : public ::testing::Test {
 protected:
  void SetUp() override {
    if (!testing::can_mount()) GTEST_SKIP() << "no /dev/fuse here";
    mount_ = std::make_unique<LocalMount>(vault_folder());
  }

  std::string vault_folder() const { return (folder_ / "vault").string(); }
  LocalMount& mount() { return *mount_; }
  std::string at(const std::string& name) { return mount() / name; }
  void remount(files::FileSystemOptions options = {}) {
    mount_.reset();
    mount_ = std::make_unique<LocalMount>(vault_folder(), options);
  }

 private:
  TempDir folder_;
  std::unique_ptr<LocalMount> mount_;
};

void write_file(const std::string& path, const std::string& text) { std::ofstream(path, std::ios::binary) << text; }

std::string read_file(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
}

std::string read_fd(int fd, std::size_t bytes, off_t offset) {
  std::string text(bytes, '\0');
  const ssize_t count = ::pread(fd, text.data(), bytes, offset);
  text.resize(count < 0 ? 0 : static_cast<std::size_t>(count));
  return text;
}

struct stat stat_at(const std::string& path) {
  struct stat st {};
  EXPECT_EQ(::lstat(path.c_str(), &st), 0) << path;
  return st;
}

TEST_F(AMountedFolder, KeepsWritesThroughAMappingAfterTheFileWasClosed) {
  write_file(at("mapped"), std::string(1 << 20, 'a'));
  const testing::Finished mapped = testing::run({"/usr/bin/python3", "-c", R"(
import mmap, os, sys
fd = os.open(sys.argv[1], os.O_RDWR)
memory = mmap.mmap(fd, 1 << 20)
os.close(fd)
memory[500000] = ord('b')
memory.close())",
                                                 at("mapped")});
  ASSERT_EQ(mapped.exit_code, 0) << mapped.err;
  remount();
  std::string expected(1 << 20, 'a');
  expected[500'000] = 'b';
  EXPECT_EQ(read_file(at("mapped")), expected);
}

TEST_F(AMountedFolder, ShowsTheOldFileToWhoHasItOpenWhenAnotherIsRenamedOverIt) {
  write_file(at("old"), "old content");
  write_file(at("new"), "new content");
  const int fd = ::open(at("old").c_str(), O_RDWR);
  ASSERT_EQ(::rename(at("new").c_str(), at("old").c_str()), 0);
  EXPECT_EQ(read_file(at("old")), "new content");
  EXPECT_EQ(read_fd(fd, 100, 0), "old content");
  ASSERT_EQ(::pwrite(fd, "OLD", 3, 0), 3);
  EXPECT_EQ(read_fd(fd, 100, 0), "OLD content");
  struct stat st {};
  ::fstat(fd, &st);
  EXPECT_EQ(st.st_nlink, 0u);
  ::close(fd);
  remount();
  EXPECT_EQ(read_file(at("old")), "new content");
}

TEST_F(AMountedFolder, LetsAnUnlinkedFileBeReadAndWrittenWhileItIsOpen) {
  const int fd = ::open(at("file").c_str(), O_RDWR | O_CREAT, 0600);
  ASSERT_EQ(::write(fd, "hello", 5), 5);
  ASSERT_EQ(::unlink(at("file").c_str()), 0);
  EXPECT_EQ(::access(at("file").c_str(), F_OK), -1);
  EXPECT_EQ(read_fd(fd, 100, 0), "hello");
  const std::string large(3 << 20, 'x');
  ASSERT_EQ(::pwrite(fd, large.data(), large.size(), 5), static_cast<ssize_t>(large.size()));
  ASSERT_EQ(::fsync(fd), 0);
  ASSERT_EQ(::posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED), 0);
  EXPECT_EQ(read_fd(fd, large.size() + 5, 0), "hello" + large);
  ASSERT_EQ(::ftruncate(fd, 3), 0);
  EXPECT_EQ(read_fd(fd, 100, 0), "hel");
  ::close(fd);
  EXPECT_TRUE(eventually([&] { return mount().vault().tree().totals()->files == 0; }));
}

TEST_F(AMountedFolder, AppendsWhereverTheFileEnds) {
  const int one = ::open(at("log").c_str(), O_WRONLY | O_CREAT | O_APPEND, 0644);
  const int two = ::open(at("log").c_str(), O_WRONLY | O_APPEND);
  std::string expected;
  for (int i = 0; i < 100; ++i) {
    const std::string line = "line " + std::to_string(i) + "\n";
    ASSERT_EQ(::write(i % 2 == 0 ? one : two, line.data(), line.size()), static_cast<ssize_t>(line.size()));
    expected += line;
  }
  EXPECT_EQ(read_file(at("log")), expected);
  ::close(one);
  ::close(two);
  remount();
  EXPECT_EQ(read_file(at("log")), expected);
}

TEST_F(AMountedFolder, ReplacesContentByOpeningWithTrunc) {
  write_file(at("file"), std::string(100'000, 'o'));
  const int fd = ::open(at("file").c_str(), O_WRONLY | O_TRUNC);
  EXPECT_EQ(stat_at(at("file")).st_size, 0);
  ASSERT_EQ(::write(fd, "new", 3), 3);
  ::close(fd);
  EXPECT_EQ(read_file(at("file")), "new");
  remount();
  EXPECT_EQ(read_file(at("file")), "new");
}

TEST_F(AMountedFolder, KeepsHolesAndFindsThem) {
  const int fd = ::open(at("sparse").c_str(), O_RDWR | O_CREAT, 0644);
  ASSERT_EQ(::ftruncate(fd, 100 << 20), 0);
  ASSERT_EQ(::pwrite(fd, "data", 4, 50 << 20), 4);
  ::close(fd);
  const struct stat st = stat_at(at("sparse"));
  EXPECT_EQ(st.st_size, 100 << 20);
  EXPECT_LE(st.st_blocks, 64);
  const int again = ::open(at("sparse").c_str(), O_RDONLY);
  const off_t data = ::lseek(again, 0, SEEK_DATA);
  EXPECT_LE(data, 50 << 20);
  EXPECT_GE(data, (50 << 20) - 4096);
  const off_t hole = ::lseek(again, data, SEEK_HOLE);
  EXPECT_GE(hole, (50 << 20) + 4);
  EXPECT_LE(hole, (50 << 20) + 4096);
  EXPECT_EQ(::lseek(again, hole, SEEK_DATA), -1);
  EXPECT_EQ(errno, ENXIO);
  EXPECT_EQ(read_fd(again, 8, (50 << 20) - 2), std::string("\0\0data\0\0", 8));
  ::close(again);
}

// Claim: data that only the kernel's page cache has is never taken for a hole.
TEST_F(AMountedFolder, ShowsDataThatIsNotWrittenBackYetAsData) {
  const int fd = ::open(at("file").c_str(), O_RDWR | O_CREAT, 0644);
  ASSERT_EQ(::ftruncate(fd, 1 << 20), 0);
  ASSERT_EQ(::pwrite(fd, "data", 4, 0), 4);
  EXPECT_EQ(::lseek(fd, 0, SEEK_DATA), 0);
  const std::string tail(4096, 't');
  ASSERT_EQ(::pwrite(fd, tail.data(), tail.size(), 1 << 20), 4096);
  EXPECT_GE(::lseek(fd, 1 << 20, SEEK_DATA), 1 << 20) << "the end of the file is data";
  EXPECT_EQ(::lseek(fd, 1 << 20, SEEK_HOLE), (1 << 20) + 4096);
  ::close(fd);
}

TEST_F(AMountedFolder, PunchesHolesAndExtendsFiles) {
  const int fd = ::open(at("file").c_str(), O_RDWR | O_CREAT, 0644);
  std::string content(1 << 20, 'x');
  ASSERT_EQ(::write(fd, content.data(), content.size()), static_cast<ssize_t>(content.size()));
  ASSERT_EQ(::fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 1000, 500'000), 0);
  ASSERT_EQ(::fallocate(fd, FALLOC_FL_ZERO_RANGE, 900'000, 200'000), 0);
  ASSERT_EQ(::posix_fallocate(fd, 0, 2 << 20), 0);
  ::close(fd);
  content.resize(2 << 20, '\0');
  std::fill(content.begin() + 1000, content.begin() + 501'000, '\0');
  std::fill(content.begin() + 900'000, content.begin() + 1'100'000, '\0');
  EXPECT_EQ(read_file(at("file")), content);
  remount();
  EXPECT_EQ(read_file(at("file")), content);
}

TEST_F(AMountedFolder, CopiesARangeBySharingIt) {
  std::string content;
  for (int i = 0; i < 200'000; ++i) content += static_cast<char>('a' + i % 23);
  write_file(at("from"), content);
  write_file(at("to"), std::string(50'000, '.'));
  const int from = ::open(at("from").c_str(), O_RDONLY);
  const int to = ::open(at("to").c_str(), O_RDWR);
  off_t from_offset = 12'345;
  off_t to_offset = 777;
  EXPECT_EQ(::copy_file_range(from, &from_offset, to, &to_offset, 150'000, 0), 150'000);
  ::close(from);
  ::close(to);
  std::string expected(50'000, '.');
  expected.resize(150'777);
  std::copy_n(content.begin() + 12'345, 150'000, expected.begin() + 777);
  EXPECT_EQ(read_file(at("to")), expected);
  remount();
  EXPECT_EQ(read_file(at("to")), expected);
}

TEST_F(AMountedFolder, ListsFiveThousandNamesOnceEachWhileTheyAreDeleted) {
  ASSERT_EQ(::mkdir(at("many").c_str(), 0755), 0);
  for (int i = 0; i < 5000; ++i) {
    ASSERT_EQ(::mknod(at("many/file-with-some-name-" + std::to_string(i)).c_str(), S_IFREG | 0644, 0), 0);
  }
  std::set<std::string> seen;
  DIR* const folder = ::opendir(at("many").c_str());
  while (const dirent* entry = ::readdir(folder)) {
    const std::string name = entry->d_name;
    EXPECT_TRUE(seen.insert(name).second) << name;
    if (name == "." || name == "..") continue;
    EXPECT_EQ(::unlink(at("many/" + name).c_str()), 0);
  }
  ::closedir(folder);
  EXPECT_EQ(seen.size(), 5002u);
  EXPECT_EQ(::rmdir(at("many").c_str()), 0);
}

TEST_F(AMountedFolder, TakesNamesOf255BytesAndNoLongerOnes) {
  const std::string name(255, 'n');
  write_file(at(name), "x");
  EXPECT_EQ(read_file(at(name)), "x");
  EXPECT_EQ(::open(at(name + "n").c_str(), O_CREAT | O_WRONLY, 0644), -1);
  EXPECT_EQ(errno, ENAMETOOLONG);
}

TEST_F(AMountedFolder, KeepsTimesToTheNanosecondOverARemount) {
  write_file(at("file"), "content");
  const timespec times[2] = {{.tv_sec = 1'111'111'111, .tv_nsec = 111'111'111},
                             {.tv_sec = -86'400, .tv_nsec = 999'999'999}};
  ASSERT_EQ(::utimensat(AT_FDCWD, at("file").c_str(), times, 0), 0);
  const int fd = ::open(at("written").c_str(), O_WRONLY | O_CREAT, 0644);
  ASSERT_EQ(::write(fd, "x", 1), 1);
  ::close(fd);
  const struct stat written = stat_at(at("written"));
  remount();
  const struct stat file = stat_at(at("file"));
  EXPECT_EQ(file.st_mtim.tv_sec, -86'400);
  EXPECT_EQ(file.st_mtim.tv_nsec, 999'999'999);
  EXPECT_EQ(file.st_atim.tv_nsec, 111'111'111);
  const struct stat again = stat_at(at("written"));
  EXPECT_EQ(again.st_mtim.tv_sec, written.st_mtim.tv_sec);
  EXPECT_EQ(again.st_mtim.tv_nsec, written.st_mtim.tv_nsec);
}

// Claim: what the kernel writes back long after the write has the time of the write.
TEST_F(AMountedFolder, LeavesTimesToTheKernelThatWritesBack) {
  const int fd = ::open(at("file").c_str(), O_WRONLY | O_CREAT, 0644);
  ASSERT_EQ(::write(fd, "x", 1), 1);
  ASSERT_EQ(::sync_file_range(fd, 0, 0, SYNC_FILE_RANGE_WRITE | SYNC_FILE_RANGE_WAIT_AFTER), 0);
  const InodeId inode = *mount().vault().tree().resolve("/file");
  EXPECT_TRUE(eventually([&] { return mount().vault().committer().buffered(inode).bytes == 1; }));
  EXPECT_FALSE(mount().vault().committer().buffered(inode).mtime_ns.has_value());
  ::close(fd);
}

// Claim: the time of the last write is kept even if the kernel hands the bytes over later, by itself.
TEST_F(AMountedFolder, KeepsTheTimeOfTheWriteAndNotOfTheWriteback) {
  const int fd = ::open(at("file").c_str(), O_WRONLY | O_CREAT, 0644);
  ASSERT_EQ(::write(fd, "x", 1), 1);
  struct stat before {};
  ASSERT_EQ(::fstat(fd, &before), 0);
  ASSERT_EQ(::syncfs(fd), 0);
  ASSERT_EQ(::close(fd), 0);
  remount();
  const struct stat after = stat_at(at("file"));
  EXPECT_EQ(after.st_mtim.tv_sec, before.st_mtim.tv_sec);
  EXPECT_EQ(after.st_mtim.tv_nsec, before.st_mtim.tv_nsec);
}

TEST_F(AMountedFolder, ClearsSuidWhenAnotherWritesOrOwns) {
  write_file(at("file"), "x");
  ASSERT_EQ(::chmod(at("file").c_str(), 06777), 0);
  const pid_t child = ::fork();
  if (child == 0) {  // Root keeps the bits: it has CAP_FSETID.
    if (::chmod(at("").c_str(), 0777) != 0 || ::setgid(12345) != 0 || ::setuid(12345) != 0) ::_exit(2);
    const int fd = ::open(at("file").c_str(), O_WRONLY);
    ::_exit(fd >= 0 && ::write(fd, "y", 1) == 1 ? 0 : 1);
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  if (WIFEXITED(status) && WEXITSTATUS(status) == 2) GTEST_SKIP() << "not root";
  ASSERT_TRUE(WIFEXITED(status));
  // Without allow_other nobody but the mounting user comes in; then chown shows the same.
  if (WEXITSTATUS(status) == 0) {
    EXPECT_EQ(stat_at(at("file")).st_mode & 06000u, 0u);
  }
  ASSERT_EQ(::chmod(at("file").c_str(), 06777), 0);
  ASSERT_EQ(::chown(at("file").c_str(), 1, 1), 0);
  EXPECT_EQ(stat_at(at("file")).st_mode & 06000u, 0u);
}

TEST_F(AMountedFolder, KeepsXattrs) {
  write_file(at("file"), "x");
  char value[64];
  ASSERT_EQ(::setxattr(at("file").c_str(), "user.note", "text", 4, 0), 0);
  EXPECT_EQ(::setxattr(at("file").c_str(), "user.note", "text", 4, XATTR_CREATE), -1);
  EXPECT_EQ(errno, EEXIST);
  EXPECT_EQ(::getxattr(at("file").c_str(), "user.note", value, sizeof(value)), 4);
  EXPECT_EQ(::getxattr(at("file").c_str(), "user.note", value, 2), -1);
  EXPECT_EQ(errno, ERANGE);
  EXPECT_EQ(::listxattr(at("file").c_str(), value, sizeof(value)), 10);
  ASSERT_EQ(::removexattr(at("file").c_str(), "user.note"), 0);
  EXPECT_EQ(::getxattr(at("file").c_str(), "user.note", value, sizeof(value)), -1);
  EXPECT_EQ(errno, ENODATA);
}

TEST_F(AMountedFolder, TellsLevelAndHashOfAFile) {
  write_file(at("file"), "abc");
  char value[128];
  const ssize_t level = ::getxattr(at("file").c_str(), "user.coffer.level", value, sizeof(value));
  ASSERT_GT(level, 0);
  EXPECT_EQ(std::string(value, static_cast<std::size_t>(level)), "spooled");
  const ssize_t hash = ::getxattr(at("file").c_str(), "user.coffer.sha256", value, sizeof(value));
  ASSERT_EQ(hash, 64);
  EXPECT_EQ(std::string(value, 64), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  EXPECT_EQ(::listxattr(at("file").c_str(), value, sizeof(value)), 0);
  EXPECT_EQ(::setxattr(at("file").c_str(), "user.coffer.level", "x", 1, 0), -1);
}

// Claim: the level of an open file is that of all that was written, pages that only the kernel has among it.
TEST_F(AMountedFolder, TellsTheLevelMemoryOfAFileThatIsBeingWritten) {
  const auto level = [&] {
    char value[32];
    const ssize_t bytes = ::getxattr(at("file").c_str(), "user.coffer.level", value, sizeof(value));
    return bytes > 0 ? std::string(value, static_cast<std::size_t>(bytes)) : "none";
  };
  const int fd = ::open(at("file").c_str(), O_WRONLY | O_CREAT, 0644);
  ASSERT_EQ(::write(fd, "abc", 3), 3);
  EXPECT_EQ(level(), "memory");
  ASSERT_EQ(::fsync(fd), 0);
  EXPECT_EQ(level(), "spooled");
  ASSERT_EQ(::write(fd, "abc", 3), 3);
  EXPECT_EQ(level(), "memory");
  ::close(fd);
  EXPECT_EQ(level(), "spooled");
}

TEST_F(AMountedFolder, WaitsForTheServerInFsync) {
  write_file(at("file"), "x");
  EXPECT_EQ(testing::shell("sync " + at("file")).exit_code, 0);
  EXPECT_EQ(mount().vault().waits, 1);
  mount().vault().server = LocalVault::Server::refuses;
  const testing::Finished refused = testing::shell("sync " + at("file"));
  EXPECT_NE(refused.exit_code, 0);
  EXPECT_NE(refused.err.find("Disk quota exceeded"), std::string::npos) << refused.err;
}

TEST_F(AMountedFolder, EndsAWaitingFsyncWhenItsCallerIsInterruptedAndServesOthersMeanwhile) {
  mount().vault().server = LocalVault::Server::never_answers;
  std::vector<std::unique_ptr<testing::Process>> waiting;
  TempDir logs;
  for (int i = 0; i < 20; ++i) {
    write_file(at("file" + std::to_string(i)), "x");
    waiting.push_back(std::make_unique<testing::Process>(
        std::vector<std::string>{"/bin/sync", at("file" + std::to_string(i))}, (logs / "log").string()));
  }
  EXPECT_TRUE(eventually([&] { return mount().vault().waits == 20; }));
  write_file(at("other"), "y");
  EXPECT_EQ(read_file(at("other")), "y");
  for (const auto& process : waiting) process->signal(SIGINT);
  for (const auto& process : waiting) EXPECT_EQ(process->wait(std::chrono::seconds(20)), 128 + SIGINT);
}

TEST_F(AMountedFolder, ReadsWhatOnlyTheServerHas) {
  std::string content(3 << 20, '\0');
  for (std::size_t i = 0; i < content.size(); ++i) content[i] = static_cast<char>(i * i >> 7);
  write_file(at("file"), content);
  write_file(at("small"), "small");
  mount().vault().move_content_to_server();
  mount().mount().notify_invalidate(*mount().vault().tree().resolve("/file"));
  mount().mount().notify_invalidate(*mount().vault().tree().resolve("/small"));
  EXPECT_EQ(read_file(at("small")), "small");
  EXPECT_EQ(read_file(at("file")), content);
  EXPECT_GT(mount().vault().fetches, 0);
}

// Claim: readers that wait for a server which is gone hold nobody else up, and end when they are interrupted.
TEST_F(AMountedFolder, ServesOthersWhileManyReadersWaitForTheServer) {
  constexpr int kReaders = 30;
  for (int i = 0; i < kReaders; ++i) write_file(at("file" + std::to_string(i)), std::string(600'000, 'x'));
  LocalVault& vault = mount().vault();
  vault.move_content_to_server();
  vault.server = LocalVault::Server::never_answers;
  std::vector<std::unique_ptr<testing::Process>> readers;
  TempDir logs;
  for (int i = 0; i < kReaders; ++i) {
    const std::string name = "file" + std::to_string(i);
    mount().mount().notify_invalidate(*vault.tree().resolve(name));
    readers.push_back(
        std::make_unique<testing::Process>(std::vector<std::string>{"/bin/cat", at(name)}, (logs / "log").string()));
  }
  EXPECT_TRUE(eventually([&] { return vault.fetches > 0; }));
  write_file(at("other"), "y");
  EXPECT_EQ(read_file(at("other")), "y");
  EXPECT_EQ(stat_at(at("file0")).st_size, 600'000);
  for (const auto& reader : readers) reader->signal(SIGINT);
  for (const auto& reader : readers) EXPECT_EQ(reader->wait(std::chrono::seconds(20)), 128 + SIGINT);
  vault.server = LocalVault::Server::commits;
  vault.fail_fetches();  // The kernel's own read-ahead still waits, and nobody can interrupt that.
}

// Claim: the barrier takes along what only the kernel has: pages of files that are open, and of mappings.
TEST_F(AMountedFolder, PushesDirtyPagesThroughTheBarrier) {
  TempDir beside;
  testing::Process writer({"/usr/bin/python3", "-c", R"(
import mmap, os, subprocess, sys, signal
path, barrier, done = sys.argv[1:]
fd = os.open(path, os.O_RDWR | os.O_CREAT)
os.write(fd, b'c' * 300000)
memory = mmap.mmap(fd, 4096)
memory[7] = ord('m')
subprocess.run(['sync', barrier], check=True)
open(done, 'w')
signal.pause())",
                           at("open"), at(".coffer/barrier"), (beside / "done").string()},
                          (beside / "log").string());
  ASSERT_TRUE(eventually([&] { return ::access((beside / "done").c_str(), F_OK) == 0; }));
  EXPECT_EQ(mount().vault().waits_for_all, 1);
  EXPECT_EQ(mount().vault().waits, 0) << "its own calls through the mount wait for no server";

  files::FileSystem& files = mount().vault().file_system();
  const InodeId inode = *files.resolve("/open");
  EXPECT_EQ(mount().vault().tree().attributes(inode)->bytes, 300'000u);
  Bytes first(8);
  const files::HandleId handle = *files.open(inode, O_RDONLY);
  EXPECT_EQ(*files.read(handle, 0, first), 8u);
  files.release(handle);
  EXPECT_EQ(as_text(first), "cccccccm");
}

// Claim: the barrier waits for pages that are on their way, of a file that is open and was never closed.
TEST_F(AMountedFolder, HoldsTheBarrierUntilEveryPageHasArrived) {
  const int fd = ::open(at("open").c_str(), O_RDWR | O_CREAT, 0644);
  const std::string content(8 << 20, 'c');
  ASSERT_EQ(::write(fd, content.data(), content.size()), static_cast<ssize_t>(content.size()));
  LocalVault& vault = mount().vault();
  vault.stalls_writes = true;
  TempDir logs;
  testing::Process barrier({"/bin/sync", at(".coffer/barrier")}, (logs / "log").string());
  EXPECT_TRUE(eventually([&] { return vault.stalled > 0; }));
  EXPECT_FALSE(eventually([&] { return vault.waits_for_all > 0; }, std::chrono::milliseconds(300)));
  vault.stalls_writes = false;
  EXPECT_EQ(barrier.wait(std::chrono::seconds(20)), 0);
  EXPECT_EQ(vault.tree().attributes(*vault.tree().resolve("/open"))->bytes, content.size());
  ::close(fd);
}

// A handler for the signal keeps the caller alive: it goes on only if fsync is answered.
TEST_F(AMountedFolder, AnswersAnInterruptedFsyncWithEintr) {
  write_file(at("file"), "x");
  mount().vault().server = LocalVault::Server::never_answers;
  TempDir logs;
  testing::Process waiting({"/usr/bin/python3", "-c",
                            "import os, sys\n"
                            "try: os.fsync(os.open(sys.argv[1], os.O_RDONLY))\n"
                            "except KeyboardInterrupt: sys.exit(7)",
                            at("file")},
                           (logs / "log").string());
  EXPECT_TRUE(eventually([&] { return mount().vault().waits == 1; }));
  waiting.signal(SIGINT);
  EXPECT_EQ(waiting.wait(std::chrono::seconds(10)), 7);
}

TEST_F(AMountedFolder, KeepsAnUnlinkedInodeThatIsOnlyNamedByADescriptor) {
  ::close(::open(at("file").c_str(), O_WRONLY | O_CREAT, 0640));
  const int path_only = ::open(at("file").c_str(), O_PATH);
  ASSERT_EQ(::unlink(at("file").c_str()), 0);
  struct stat st {};
  ASSERT_EQ(::fstat(path_only, &st), 0);
  EXPECT_EQ(st.st_nlink, 0u);
  EXPECT_EQ(st.st_mode & 0777u, 0640u);
  ::close(path_only);
  EXPECT_TRUE(eventually([&] { return mount().vault().tree().totals()->files == 0; }));
}

TEST_F(AMountedFolder, RefusesChangesWhenReadOnly) {
  write_file(at("file"), "x");
  files::FileSystemOptions options;
  options.read_only = true;
  remount(options);
  EXPECT_EQ(read_file(at("file")), "x");
  EXPECT_EQ(::open(at("file").c_str(), O_WRONLY), -1);
  EXPECT_EQ(errno, EROFS);
  EXPECT_EQ(::mkdir(at("new").c_str(), 0755), -1);
  EXPECT_EQ(errno, EROFS);
  EXPECT_EQ(testing::shell("sync " + at("file") + " " + at(".coffer/barrier")).exit_code, 0);
}

TEST_F(AMountedFolder, TellsWhoWritesThatTheQuotaIsUsedUp) {
  mount().vault().is_quota_full = true;
  const int fd = ::open(at("file").c_str(), O_WRONLY | O_CREAT, 0644);
  EXPECT_EQ(::write(fd, "x", 1), -1);
  EXPECT_EQ(errno, EDQUOT);
  EXPECT_EQ(::close(fd), 0);

  mount().vault().is_quota_full = false;
  const int cached = ::open(at("file").c_str(), O_WRONLY);
  ASSERT_EQ(::write(cached, "x", 1), 1);
  mount().vault().is_quota_full = true;
  EXPECT_EQ(::close(cached), -1) << "the kernel had it, and nobody else";
  EXPECT_EQ(errno, ENOSPC);
  mount().vault().is_quota_full = false;
}

TEST_F(AMountedFolder, HasRoomAndLimitsThatProgramsAskFor) {
  write_file(at("file"), std::string(100'000, 'x'));
  struct statvfs about {};
  ASSERT_EQ(::statvfs(mount().path().c_str(), &about), 0);
  EXPECT_EQ(about.f_namemax, 255u);
  EXPECT_GT(about.f_bavail, 1u << 20);
  EXPECT_GE(about.f_blocks, about.f_bfree);
}

TEST_F(AMountedFolder, ExchangesNamesAndKeepsWhatIsThere) {
  write_file(at("a"), "a");
  write_file(at("b"), "b");
  ASSERT_EQ(::renameat2(AT_FDCWD, at("a").c_str(), AT_FDCWD, at("b").c_str(), RENAME_EXCHANGE), 0);
  EXPECT_EQ(read_file(at("a")), "b");
  EXPECT_EQ(::renameat2(AT_FDCWD, at("a").c_str(), AT_FDCWD, at("b").c_str(), RENAME_NOREPLACE), -1);
  EXPECT_EQ(errno, EEXIST);
  EXPECT_EQ(::rename(at("nothing").c_str(), at("b").c_str()), -1);
  EXPECT_EQ(errno, ENOENT);
}

TEST_F(AMountedFolder, LosesNothingThatWasClosedWhenTheProcessIsKilled) {
  write_file(at("file"), std::string(2'000'000, 'k'));
  write_file(at("small"), "small");
  mount().vault().kill();
  remount();
  EXPECT_EQ(read_file(at("file")), std::string(2'000'000, 'k'));
  EXPECT_EQ(read_file(at("small")), "small");
}

}  // namespace
}  // namespace coffer
