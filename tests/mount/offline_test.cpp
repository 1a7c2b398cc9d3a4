// A mount whose server does not answer: who waits, for how long, and how waiting ends.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <pthread.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <string>
#include <thread>
#include <vector>

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
using namespace std::chrono_literals;
using std::chrono::steady_clock;

class OfflineMount : public ::testing::Test {
 protected:
  void SetUp() override {
    if (!testing::can_mount()) GTEST_SKIP() << "no /dev/fuse here";
    struct sigaction handler {};
    handler.sa_handler = [](int) {};  // As Ctrl-C in a program that has a handler: no SA_RESTART.
    ::sigaction(SIGALRM, &handler, nullptr);
  }

  /// Mounted, with files 0 … 9 of 8 KiB whose content only the server has, and which the kernel has forgotten.
  void mount_with_content_away(files::FileSystemOptions options) {
    {
      const LocalMount mount((folder_ / "vault").string());
      for (int i = 0; i < 10; ++i) std::ofstream(mount / std::to_string(i)) << std::string(8192, 'x');
    }
    mount_ = std::make_unique<LocalMount>((folder_ / "vault").string(), options);
    mount_->vault().move_content_to_server();
    mount_->vault().server = LocalVault::Server::never_answers;
  }
  void TearDown() override {
    if (!mount_) return;
    mount_->vault().server = LocalVault::Server::commits;
    mount_->vault().fail_fetches();
    mount_.reset();
  }

  struct Waited {
    int error = 0;
    std::chrono::milliseconds time{};
  };
  /// Calls `call` on a thread that gets SIGALRM all the time, once `is_waiting` holds.
  static Waited interrupted(const std::function<int()>& call, const std::function<bool()>& is_waiting) {
    Waited waited;
    std::atomic<bool> is_over{false};
    std::thread thread([&] {
      const auto begin = steady_clock::now();
      if (call() < 0) waited.error = errno;
      waited.time = std::chrono::duration_cast<std::chrono::milliseconds>(steady_clock::now() - begin);
      is_over = true;
    });
    EXPECT_TRUE(eventually(is_waiting));
    ::pthread_kill(thread.native_handle(), SIGALRM);
    EXPECT_TRUE(eventually([&] { return is_over.load(); }, 100s));
    thread.join();
    return waited;
  }

  TempDir folder_;
  std::unique_ptr<LocalMount> mount_;
};

TEST_F(OfflineMount, EndsAReadThatOnlyTheServerCanAnswerWithEtimedout) {
  files::FileSystemOptions options;
  options.read_timeout = 1s;
  ASSERT_NO_FATAL_FAILURE(mount_with_content_away(options));
  const int fd = ::open((*mount_ / "0").c_str(), O_RDONLY);
  std::array<char, 100> into{};
  const auto begin = steady_clock::now();
  EXPECT_EQ(::read(fd, into.data(), into.size()), -1);
  EXPECT_EQ(errno, ETIMEDOUT);
  EXPECT_GE(steady_clock::now() - begin, 1s);
  ::close(fd);
}

// Claim: a signal whose handler runs ends such a read with EINTR within seconds, whatever read_timeout says.
TEST_F(OfflineMount, LetsASignalEndARead) {
  files::FileSystemOptions options;
  options.read_timeout = 60s;
  ASSERT_NO_FATAL_FAILURE(mount_with_content_away(options));
  const int fd = ::open((*mount_ / "0").c_str(), O_RDONLY);
  std::array<char, 100> into{};
  const Waited waited = interrupted([&] { return static_cast<int>(::read(fd, into.data(), into.size())); },
                                    [&] { return mount_->vault().fetches > 0; });
  EXPECT_EQ(waited.error, EINTR);
  EXPECT_LT(waited.time, 20s);
  ::close(fd);
}

TEST_F(OfflineMount, LetsASignalEndAnFsync) {
  ASSERT_NO_FATAL_FAILURE(mount_with_content_away({}));
  const int fd = ::open((*mount_ / "new").c_str(), O_WRONLY | O_CREAT, 0644);
  ASSERT_EQ(::write(fd, "x", 1), 1);
  const Waited waited = interrupted([&] { return ::fsync(fd); }, [&] { return mount_->vault().waits > 0; });
  EXPECT_EQ(waited.error, EINTR);
  EXPECT_LT(waited.time, 20s);
  EXPECT_EQ(::close(fd), 0) << "what it wrote is spooled all the same";
}

// Claim: while others wait for the server, names, attributes and what is local are there as ever.
TEST_F(OfflineMount, AnswersAllThatIsLocalWhileReadersWait) {
  files::FileSystemOptions options;
  options.read_timeout = 60s;
  ASSERT_NO_FATAL_FAILURE(mount_with_content_away(options));
  std::vector<std::thread> readers;
  std::atomic<int> ended{0};
  for (int i = 0; i < 10; ++i) {
    readers.emplace_back([&, i] {
      std::array<char, 100> into{};
      const int fd = ::open((*mount_ / std::to_string(i)).c_str(), O_RDONLY);
      (void)!::read(fd, into.data(), into.size());
      ++ended;
      ::close(fd);
    });
  }
  ASSERT_TRUE(eventually([&] { return mount_->vault().fetches > 0; }));
  const auto begin = steady_clock::now();
  std::ofstream(*mount_ / "new") << "content";
  std::filesystem::rename(*mount_ / "new", *mount_ / "renamed");
  std::filesystem::create_directory(*mount_ / "folder");
  std::string content;
  std::ifstream(*mount_ / "renamed") >> content;
  EXPECT_EQ(content, "content");
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(mount_->path()), {}), 12);
  EXPECT_EQ(std::filesystem::file_size(*mount_ / "0"), 8192u);
  EXPECT_EQ(::unlink((*mount_ / "renamed").c_str()), 0);
  EXPECT_LT(steady_clock::now() - begin, 20s) << "less than any of them waits";
  EXPECT_EQ(ended, 0);
  mount_->vault().server = LocalVault::Server::commits;
  mount_->vault().fail_fetches();
  for (std::thread& reader : readers) reader.join();
}

// Claim: a file that was opened while there was room, and whose writes the kernel keeps in its pages, hears of a full
// quota at write(2), once the first page was refused; and goes on when there is room again.
TEST_F(OfflineMount, TellsWriteOfAQuotaThatFilledUpWhileTheFileWasOpen) {
  mount_ = std::make_unique<LocalMount>((folder_ / "vault").string());
  const int fd = ::open((*mount_ / "file").c_str(), O_WRONLY | O_CREAT, 0644);
  ASSERT_EQ(::write(fd, "x", 1), 1);
  mount_->vault().is_quota_full = true;
  EXPECT_EQ(::fsync(fd), -1);
  EXPECT_EQ(::write(fd, "y", 1), -1);
  EXPECT_EQ(errno, EDQUOT);
  mount_->vault().is_quota_full = false;
  EXPECT_EQ(::write(fd, "z", 1), 1);
  EXPECT_EQ(::fsync(fd), 0);
  ::close(fd);
}

// Claim: another mount namespace that holds a copy of the mount keeps neither unmount() nor the process from ending.
TEST_F(OfflineMount, EndsThoughAnotherNamespaceHoldsACopy) {
  if (::geteuid() != 0) GTEST_SKIP() << "a mount namespace needs root";
  auto mount = std::make_unique<LocalMount>((folder_ / "vault").string());
  std::ofstream(*mount / "file") << "content";
  testing::Process holder({"unshare", "-m", "sleep", "1000"}, (folder_ / "log").string());
  const std::string mounts = "/proc/" + std::to_string(holder.pid()) + "/mounts";
  ASSERT_TRUE(eventually([&] {
    return testing::run({"grep", "-q", mount->path(), mounts}).exit_code == 0 &&
           testing::run({"cmp", "-s", "/proc/self/ns/mnt", "/proc/" + std::to_string(holder.pid()) + "/ns/mnt"})
                   .exit_code != 0;
  }));
  const auto begin = steady_clock::now();
  mount.reset();
  EXPECT_LT(steady_clock::now() - begin, 30s);
  const LocalMount again((folder_ / "vault").string());
  std::string content;
  std::ifstream(again / "file") >> content;
  EXPECT_EQ(content, "content");
}

}  // namespace
}  // namespace coffer
