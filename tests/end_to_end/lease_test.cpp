// Two clients and one vault: one writes, the other follows and is told who.

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <fstream>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "tests/testing/command.h"
#include "tests/testing/eventually.h"
#include "tests/testing/stage.h"

namespace coffer::testing {
namespace {

using std::chrono::seconds;
using ::testing::HasSubstr;

class TwoClients : public ::testing::Test {
 protected:
  void SetUp() override {
    if (!can_mount()) GTEST_SKIP() << "no /dev/fuse on this machine";
  }
  static std::string text(const std::string& path) {
    std::ifstream file(path);
    return {std::istreambuf_iterator<char>(file), {}};
  }
  Stage stage_;
};

// Claim: a mount of a held vault is read-only, says who holds it, and shows a commit within a second.
TEST_F(TwoClients, HaveOneWriterWhomTheOtherNamesAndFollowsWithinASecond) {
  Client& first = stage_.client("first");
  Client& second = stage_.client("second", "first");
  ASSERT_NO_FATAL_FAILURE(first.mount());
  ASSERT_NO_FATAL_FAILURE(second.mount());
  EXPECT_THAT(second.coffer({"status"}).out, HasSubstr("read-only: first writes to it"));
  EXPECT_EQ(second.coffer({"status"}).exit_code, 0);
  EXPECT_EQ(shell("touch " + second.mountpoint() + "/x").exit_code, 1);
  for (const std::string name : {"1", "2", "3"}) {
    ASSERT_TRUE(succeeded(
        shell("echo " + name + " > " + first.mountpoint() + "/" + name + "; sync " + first.mountpoint() + "/" + name)));
    EXPECT_TRUE(eventually([&] { return text(second.mountpoint() + "/" + name) == name + "\n"; }, seconds(1)));
  }
  ASSERT_TRUE(succeeded(first.umount()));
  ASSERT_TRUE(succeeded(second.umount()));
  ASSERT_NO_FATAL_FAILURE(second.mount());  // Let go: the next mount writes.
  EXPECT_EQ(shell("touch " + second.mountpoint() + "/x").exit_code, 0);
}

// Claim: what programs had written into files that are still open when another client takes the lease, and only the
// kernel held, is kept: it is owed, and exported while they are still open. The status says that the mount is an old
// one, and what it says to do leads to the other's files.
TEST_F(TwoClients, KeepThePagesOfOpenFilesWhereTheOtherTakesTheLease) {
  Client& first = stage_.client("first");
  Client& second = stage_.client("second", "first");
  ASSERT_NO_FATAL_FAILURE(first.mount());
  const std::string mnt = first.mountpoint();
  // By a process that does nothing else: each fork of ours closes what we have open, which hands the pages over. So few
  // that the kernel is in no hurry to do it either.
  const std::string pages(3'000, 'p');
  const std::string is_written = stage_.folder() + "/is-written";
  std::optional<Process> program;
  program.emplace(std::vector<std::string>{"/usr/bin/python3", "-c",
                                           "import os, signal, sys\n"
                                           "fd = os.open(sys.argv[1] + '/new', os.O_WRONLY | os.O_CREAT)\n"
                                           "os.write(fd, b'p' * 3000)\n"
                                           "os.mkdir(sys.argv[2])\n"
                                           "signal.pause()\n",
                                           mnt, is_written},
                  stage_.folder() + "/program.log");
  ASSERT_TRUE(eventually([&] { return ::access(is_written.c_str(), F_OK) == 0; }, seconds(20)));

  ASSERT_NO_FATAL_FAILURE(second.mount("", {"--take-lease"}));
  std::ofstream(second.mountpoint() + "/theirs") << "theirs\n";
  ASSERT_TRUE(succeeded(second.sync()));
  ASSERT_EQ(::mkdir((mnt + "/mine").c_str(), 0755), 0);  // What it cannot send tells it that the lease is lost.
  Finished status;
  ASSERT_TRUE(eventually(
      [&] {
        status = first.coffer({"status"});
        return status.out.find("when it lost the right to write") != std::string::npos;
      },
      seconds(30)))
      << status.out;
  EXPECT_EQ(status.exit_code, 3);
  EXPECT_NE(::access((mnt + "/theirs").c_str(), F_OK), 0) << "an old tree, as the status says";
  const std::string to = stage_.folder() + "/to";
  EXPECT_TRUE(succeeded(first.coffer({"owed", "export", to})));
  EXPECT_TRUE(text(to + "/new") == pages) << text(to + "/new").size() << " bytes";
  program.reset();

  EXPECT_THAT(status.out,
              HasSubstr("`coffer umount --now " + mnt + "`, `coffer owed drop`, `coffer mount " + mnt + "`"));
  ASSERT_TRUE(succeeded(first.coffer({"umount", "--now", mnt})));
  ASSERT_TRUE(succeeded(first.coffer({"owed", "drop"})));
  ASSERT_NO_FATAL_FAILURE(first.mount());
  EXPECT_EQ(text(mnt + "/theirs"), "theirs\n");
  EXPECT_THAT(first.coffer({"status"}).out, HasSubstr("read-only: second writes to it"));
}

TEST_F(TwoClients, AreNotTwoMountsOfOneHome) {
  Client& client = stage_.client("first");
  ASSERT_NO_FATAL_FAILURE(client.mount());
  const std::string elsewhere = stage_.folder() + "/elsewhere";
  const Finished again =
      shell("mkdir " + elsewhere + "; " + bin_folder() + "/coffer mount " + elsewhere + " --home " + client.home());
  EXPECT_EQ(again.exit_code, 1);
  EXPECT_THAT(again.err, HasSubstr("already mounted at " + client.mountpoint()));
}

/// "VERSION LENGTH\n" and then one byte over and over; whole if it is that long.
bool is_whole(const std::string& content) {
  std::size_t version = 0;
  std::size_t bytes = 0;
  if (std::sscanf(content.c_str(), "%zu %zu", &version, &bytes) != 2 || content.size() != bytes) return false;
  const std::size_t body = content.find('\n') + 1;
  return content.find_first_not_of(static_cast<char>('a' + version % 26), body) == std::string::npos;
}

// Claim: a file that is replaced by rename(2) again and again, after its writer closed or fsynced it, is whole for a
// second client at each moment, also when the first is killed meanwhile; and whole for the first when it is back.
TEST_F(TwoClients, SeeAReplacedFileWholeAtEachMomentAndAfterEachKill) {
  Client& first = stage_.client("first");
  Client& second = stage_.client("second", "first");
  ASSERT_NO_FATAL_FAILURE(first.mount());
  const std::string script = stage_.folder() + "/replace.py";
  std::ofstream(script) << "import os, random, sys\n"
                           "good, new, version = sys.argv[1] + '/good', sys.argv[1] + '/new', int(sys.argv[2])\n"
                           "while True:\n"
                           "    version += 1\n"
                           "    bytes = random.choice([100, 5000, 300000, 3000000])\n"
                           "    head = b'%d %d\\n' % (version, bytes)\n"
                           "    fd = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)\n"
                           "    bytes_left = bytes - len(head)\n"
                           "    os.write(fd, head)\n"
                           "    while bytes_left: bytes_left -= os.write(fd, b'abcdefghijklmnopqrstuvwxyz'"
                           "[version % 26:version % 26 + 1] * min(bytes_left, 100000))\n"
                           "    how = random.randrange(2)\n"
                           "    if how == 0: os.close(fd)\n"
                           "    if how == 1: os.fsync(fd)\n"
                           "    os.rename(new, good)\n"
                           "    if how: os.close(fd)\n";
  const int kills = std::getenv("COFFER_KILLS") != nullptr ? std::atoi(std::getenv("COFFER_KILLS")) : 3;
  std::atomic<int> seen{0};
  std::atomic<bool> is_broken{false};
  std::string broken;  // The watcher's, until it has ended.
  ASSERT_TRUE(
      succeeded(shell("printf '1 4\\n' > " + first.mountpoint() + "/good; sync " + first.mountpoint() + "/good")));
  ASSERT_NO_FATAL_FAILURE(second.mount("ro"));
  std::jthread watcher([&](const std::stop_token& stop) {
    std::string last;
    while (!stop.stop_requested() && broken.empty()) {
      const int fd = ::open((second.mountpoint() + "/good").c_str(), O_RDONLY | O_CLOEXEC);
      if (fd < 0) {
        if (errno == ENOENT) broken = "it is missing";
        continue;
      }
      std::string content(4'000'000, '\0');
      std::size_t bytes = 0;
      ssize_t got = 0;
      while ((got = ::read(fd, content.data() + bytes, content.size() - bytes)) > 0)
        bytes += static_cast<std::size_t>(got);
      ::close(fd);
      content.resize(bytes);
      if (got < 0) continue;  // Replaced while it was read.
      if (!is_whole(content)) broken = content.substr(0, 40) + " … " + std::to_string(bytes) + " bytes";
      if (content != last) ++seen;
      last = content;
    }
    is_broken = !broken.empty();
  });
  for (int kill = 0; kill < kills && !is_broken; ++kill) {
    const int before = seen;
    Process writer({"/usr/bin/python3", script, first.mountpoint(), std::to_string(1000 * (kill + 1))},
                   stage_.folder() + "/writer.log");
    EXPECT_TRUE(eventually([&] { return seen > before + 3 || is_broken; }, seconds(60)));
    first.kill9();
    writer.wait(seconds(20));
    ASSERT_NO_FATAL_FAILURE(first.mount());
    EXPECT_TRUE(is_whole(text(first.mountpoint() + "/good"))) << text(first.mountpoint() + "/good").substr(0, 40);
    EXPECT_TRUE(succeeded(first.sync()));
  }
  watcher.request_stop();
  watcher.join();
  EXPECT_EQ(broken, "");
}

}  // namespace
}  // namespace coffer::testing
