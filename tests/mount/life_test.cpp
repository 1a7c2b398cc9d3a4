// How a mount begins and ends.
#include <dirent.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <fstream>
#include <string>

#include "fs/ops/mountpoint.h"
#include "tests/testing/command.h"
#include "tests/testing/stage.h"
#include "tests/testing/temp_dir.h"
#include "tests/testing/vault/local_mount.h"

namespace coffer {
namespace {

using testing::LocalMount;
using testing::LocalVault;
using testing::TempDir;

class Mounting : public ::testing::Test {
 protected:
  void SetUp() override {
    if (!testing::can_mount()) GTEST_SKIP() << "no /dev/fuse here";
  }
  std::string vault_folder() const { return (folder_ / "vault").string(); }

 private:
  TempDir folder_;
};

TEST_F(Mounting, RefusesAnOptionThatNobodyKnows) {
  const TempDir mountpoint;
  LocalVault vault(vault_folder());
  ops::MountOptions options;
  options.mountpoint = mountpoint.path().string();
  options.options = {"no_such_option"};
  const Result<std::unique_ptr<ops::Mount>> mount = ops::Mount::mount(vault.file_system(), options);
  ASSERT_FALSE(mount.has_value());
  EXPECT_EQ(mount.error().fault, Fault::refused);
}

TEST_F(Mounting, RefusesAFolderThatIsAMountAlready) {
  LocalMount mount(vault_folder());
  const Result<std::string> prepared = ops::prepare_mountpoint(mount.path());
  ASSERT_FALSE(prepared.has_value());
  EXPECT_EQ(prepared.error().code, EBUSY);
}

TEST_F(Mounting, IsUndoneOnlyWhenNobodyUsesItUnlessDetached) {
  LocalMount mount(vault_folder());
  const int fd = ::open((mount / "file").c_str(), O_RDWR | O_CREAT, 0644);
  const Result<void> busy = mount.mount().unmount();
  ASSERT_FALSE(busy.has_value());
  EXPECT_EQ(busy.error().code, EBUSY);
  ASSERT_TRUE(mount.mount().unmount(true).has_value());
  EXPECT_EQ(::write(fd, "still", 5), 5);
  EXPECT_EQ(::close(fd), 0);
}

TEST_F(Mounting, EndsWhenAnyoneUnmounts) {
  const TempDir mountpoint;
  LocalVault vault(vault_folder());
  ops::MountOptions options;
  options.mountpoint = mountpoint.path().string();
  const Result<std::unique_ptr<ops::Mount>> mount = ops::Mount::mount(vault.file_system(), options);
  ASSERT_TRUE(mount.has_value());
  std::thread server([&] { EXPECT_TRUE((*mount)->run().has_value()); });
  EXPECT_EQ(testing::shell("echo x > " + options.mountpoint + "/file; umount " + options.mountpoint).exit_code, 0);
  server.join();
  EXPECT_TRUE((*mount)->unmount().has_value()) << "it is unmounted already";
}

// Claim: a mount whose process was killed is cleared away, and never looks like an empty folder before.
TEST_F(Mounting, ClearsAwayWhatAKilledClientLeft) {
  std::array<int, 2> pipe{};
  ASSERT_EQ(::pipe(pipe.data()), 0);
  const pid_t child = ::fork();
  if (child == 0) {
    LocalMount mount(vault_folder());
    std::ofstream(mount / "file") << "content";
    const std::string path = mount.path();
    if (::write(pipe[1], path.data(), path.size()) < 0) ::_exit(1);
    ::pause();
  }
  std::string path(4096, '\0');
  const ssize_t bytes = ::read(pipe[0], path.data(), path.size());
  ASSERT_GT(bytes, 0);
  path.resize(static_cast<std::size_t>(bytes));
  struct stat st {};
  EXPECT_EQ(::stat(path.c_str(), &st), 0) << "from now on the kernel knows the root's attributes without asking";
  ::kill(child, SIGKILL);
  ::waitpid(child, nullptr, 0);
  ::close(pipe[0]);
  ::close(pipe[1]);

  EXPECT_EQ(::opendir(path.c_str()), nullptr);
  EXPECT_EQ(errno, ENOTCONN);
  EXPECT_EQ(*ops::prepare_mountpoint(path), path);
  EXPECT_EQ(::rmdir(path.c_str()), 0);

  LocalMount again(vault_folder());
  std::ifstream file(again / "file");
  EXPECT_EQ(std::string(std::istreambuf_iterator<char>(file), {}), "content");
}

// Claim: the kernel forgets what it was told to forget, so a follower sees another client's change.
TEST_F(Mounting, ShowsAChangeFromElsewhereOnceTheKernelWasTold) {
  LocalMount mount(vault_folder());
  std::ofstream(mount / "file") << "old";
  struct stat st {};
  ASSERT_EQ(::stat((mount / "file").c_str(), &st), 0);
  EXPECT_EQ(::stat((mount / "other").c_str(), &st), -1);

  files::FileSystem& files = mount.vault().file_system();
  ASSERT_TRUE(files.rename(kRootInode, "file", kRootInode, "other", meta::RenameMode::replace).has_value());
  EXPECT_EQ(::stat((mount / "other").c_str(), &st), -1) << "the kernel remembers that there was none";
  mount.mount().notify_invalidate(kRootInode, "file");
  mount.mount().notify_invalidate(kRootInode, "other");
  EXPECT_EQ(::stat((mount / "other").c_str(), &st), 0);
  EXPECT_EQ(::stat((mount / "file").c_str(), &st), -1);
}

}  // namespace
}  // namespace coffer
