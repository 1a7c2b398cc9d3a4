#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <pty.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <fstream>
#include <string>

#include "fs/cli/side.h"
#include "fs/cli/terminal.h"
#include "tests/testing/temp_dir.h"
#include "tests/testing/without_chown.h"

namespace coffer::cli {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;

Result<Copied> copy(const std::string& from, const std::string& base, const std::string& to) {
  return copy_tree(*local_side(), from, *local_side(base), to, "", [](const Copied&) {});
}

void write(const std::string& path, const std::string& text) {
  fs::create_directories(fs::path(path).parent_path());
  std::ofstream(path) << text;
}

std::string text_of(const std::string& path) {
  std::ifstream file(path);
  return {std::istreambuf_iterator<char>(file), {}};
}

struct stat look(const std::string& path) {
  struct stat found {};
  EXPECT_EQ(::lstat(path.c_str(), &found), 0) << path;
  return found;
}

TEST(ACopy, LeavesTheGoodFileWhereTheNewOneCannotBeRead) {
  const testing::TempDir folder;
  const std::string good = (folder / "good").string();
  std::ofstream(good) << "content";
  // A regular file that opens and whose first byte cannot be read.
  const Result<Copied> copied = copy("/proc/self/mem", folder.path().string(), good);
  ASSERT_FALSE(copied);
  EXPECT_EQ(copied.error().code, EIO) << copied.error().what;
  EXPECT_EQ(text_of(good), "content");
  EXPECT_EQ(std::distance(fs::directory_iterator(folder.path()), {}), 1) << "nothing is left beside it";
}

// Claim: whoever may put a symbolic link into the destination cannot have a copy write behind it.
//
// Method: the link stands at each depth where the vault has a folder, and where it has a file.
TEST(ACopy, WritesNothingBehindASymbolicLinkInTheDestination) {
  for (const char* link : {"t", "t/x", "t/x/y", "t/x/y/file"}) {
    SCOPED_TRACE(link);
    const testing::TempDir folder;
    const std::string at = folder.path().string();
    write(at + "/from/t/x/y/file", "new");
    write(at + "/behind/file", "old");
    write(at + "/behind/y/file", "old");
    ASSERT_EQ(::chmod((at + "/behind").c_str(), 0751), 0);
    const struct stat before = look(at + "/behind");
    fs::create_directories(fs::path(at + "/to/" + link).parent_path());
    const bool is_file = std::string(link).ends_with("file");
    fs::create_symlink(is_file ? at + "/behind/file" : at + "/behind", at + "/to/" + link);

    const Result<Copied> copied = copy(at + "/from/t", at + "/to", at + "/to/t");
    if (is_file) {  // It is replaced like any other name.
      ASSERT_TRUE(copied) << copied.error().what;
      EXPECT_TRUE(S_ISREG(look(at + "/to/" + link).st_mode));
    } else {
      ASSERT_FALSE(copied);
      EXPECT_EQ(copied.error().code, ENOTDIR);
      EXPECT_THAT(copied.error().what, HasSubstr(at + "/to/" + link + " is in the way"));
      EXPECT_EQ(std::distance(fs::recursive_directory_iterator(at + "/behind"), {}), 3);
    }
    EXPECT_EQ(text_of(at + "/behind/file"), "old");
    EXPECT_EQ(text_of(at + "/behind/y/file"), "old");
    EXPECT_EQ(look(at + "/behind").st_mode, before.st_mode);
    EXPECT_EQ(look(at + "/behind").st_mtim.tv_nsec, before.st_mtim.tv_nsec);
  }
}

// Claim: nor while the copy is under way, when a folder that was made becomes a link.
TEST(ALocalSide, ReachesNothingThroughASymbolicLinkBelowItsBase) {
  const testing::TempDir folder;
  const std::string at = folder.path().string();
  write(at + "/behind/file", "old");
  fs::create_directories(at + "/to");
  fs::create_symlink(at + "/behind", at + "/to/x");
  const auto nothing = [](const Sink&) { return Result<void>(); };
  Node node;
  node.mode = S_IFREG | 0777;
  const auto side = [&] { return local_side(at + "/to"); };
  const auto code = [](const Result<void>& result) { return result ? 0 : result.error().code; };
  EXPECT_EQ(code(side()->make_file(at + "/to/x/new", nothing)), ENOTDIR);
  EXPECT_EQ(code(side()->make_folder(at + "/to/x/new")), ENOTDIR);
  EXPECT_EQ(code(side()->make_symlink("a", at + "/to/x/new")), ENOTDIR);
  EXPECT_EQ(code(side()->make_special(at + "/to/x/new", node)), ENOTDIR);
  EXPECT_EQ(code(side()->remove(at + "/to/x/file")), ENOTDIR);
  EXPECT_EQ(code(side()->rename(at + "/to/x/file", at + "/to/x/new")), ENOTDIR);
  EXPECT_EQ(code(side()->make_hard_link(at + "/to/x/file", at + "/to/new")), ENOTDIR);
  EXPECT_EQ(code(side()->set_attributes(at + "/to/x/file", node)), ENOTDIR);
  EXPECT_EQ(code(side()->set_xattr(at + "/to/x/file", "user.a", "b")), ENOTDIR);
  EXPECT_FALSE(side()->set_attributes(at + "/to/x", node)) << "the mode of a link itself";
  EXPECT_NE(look(at + "/behind").st_mode & 07777, 0777u);
  EXPECT_EQ(code(side()->make_folder(at + "/to/../out")), EINVAL);
  EXPECT_EQ(std::distance(fs::directory_iterator(at + "/behind"), {}), 1);
  EXPECT_EQ(text_of(at + "/behind/file"), "old");
}

TEST(ACopy, GoesIntoADestinationThatIsNamedThroughALink) {
  const testing::TempDir folder;
  const std::string at = folder.path().string();
  write(at + "/from/x/file", "new");
  fs::create_directories(at + "/real");
  fs::create_symlink(at + "/real", at + "/to");
  ASSERT_TRUE(copy(at + "/from", at + "/to", at + "/to")) << "the folder itself";
  ASSERT_TRUE(copy(at + "/from", at + "/to", at + "/to/named"));
  EXPECT_EQ(text_of(at + "/real/x/file"), "new");
  EXPECT_EQ(text_of(at + "/real/named/x/file"), "new");
}

// Claim: a program that ran as its owner does not come to run as whoever copied it.
TEST(ACopy, LeavesSetuidBehindWhereTheOwnerCannotBeKept) {
  if (::geteuid() != 0) GTEST_SKIP() << "needs root";
  const testing::TempDir folder;
  const std::string at = folder.path().string();
  write(at + "/from/program", "x");
  ASSERT_EQ(::chown((at + "/from/program").c_str(), 1234, 1234), 0);
  ASSERT_EQ(::chmod((at + "/from/program").c_str(), 06755), 0);
  ASSERT_EQ(::mkfifo((at + "/from/fifo").c_str(), 0644), 0);
  ASSERT_EQ(::chown((at + "/from/fifo").c_str(), 1234, 1234), 0);
  ASSERT_EQ(::chmod((at + "/from/fifo").c_str(), 06755), 0);
  fs::create_directories(at + "/to");
  ASSERT_TRUE(copy(at + "/from", at + "/to", at + "/to/kept"));
  EXPECT_EQ(look(at + "/to/kept/program").st_mode & 07777, 06755u);
  EXPECT_EQ(look(at + "/to/kept/program").st_uid, 1234u);
  {
    const testing::WithoutChown as_others;
    ASSERT_TRUE(copy(at + "/from", at + "/to", at + "/to/not-kept"));
  }
  EXPECT_EQ(look(at + "/to/not-kept/program").st_uid, 0u);
  EXPECT_EQ(look(at + "/to/not-kept/program").st_mode & 07777, 0755u);
  EXPECT_EQ(look(at + "/to/not-kept/fifo").st_mode & 07777, 0755u);
}

// Claim: a name of the vault is shown on a terminal without steering it, and handed to a program as it is.
TEST(AName, IsEscapedOnATerminalOnly) {
  const std::string name = "a\x1b[31m\nb\\c";
  int terminal = -1;
  int shell = -1;
  ASSERT_EQ(::openpty(&shell, &terminal, nullptr, nullptr, nullptr), 0);
  EXPECT_EQ(shown(name, terminal), "a\\x1b[31m\\nb\\\\c");
  ::close(terminal);
  ::close(shell);
  const int file = ::open("/dev/null", O_WRONLY | O_CLOEXEC);
  EXPECT_EQ(shown(name, file), name);
  ::close(file);
}

}  // namespace
}  // namespace coffer::cli
