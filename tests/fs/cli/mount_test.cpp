// mount and umount as they are typed, on a real mount.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <chrono>
#include <filesystem>
#include <fstream>
#include <future>

#include "tests/testing/command.h"
#include "tests/testing/stage.h"

namespace coffer::cli {
namespace {

using testing::Finished;
using ::testing::HasSubstr;

class MountCommand : public ::testing::Test {
 protected:
  void SetUp() override {
    if (!testing::can_mount()) GTEST_SKIP() << "no /dev/fuse on this machine";
    stage_ = std::make_unique<testing::Stage>();
    client_ = &stage_->client("first");
  }
  std::string write(const std::string& name, const std::string& text) {
    std::ofstream(client_->mountpoint() + "/" + name) << text;
    return client_->mountpoint() + "/" + name;
  }

  std::unique_ptr<testing::Stage> stage_;
  testing::Client* client_ = nullptr;
};

TEST_F(MountCommand, ReturnsWhenTheMountIsUsableAndUmountWhenAllIsCommitted) {
  const Finished mounted = client_->coffer({"mount", client_->mountpoint()});
  ASSERT_EQ(mounted.exit_code, 0) << mounted.err;
  EXPECT_THAT(mounted.out, HasSubstr("is mounted at"));
  write("file", "content");
  const Finished unmounted = client_->coffer({"umount", client_->mountpoint()});
  ASSERT_EQ(unmounted.exit_code, 0) << unmounted.err;
  EXPECT_FALSE(client_->is_mounted());
  EXPECT_EQ(client_->coffer({"status"}).exit_code, 0);
}

// Claim: a second mount of a mounted vault is refused by name, and the first one is none the worse.
TEST_F(MountCommand, LeavesAMountAsItIsWhenASecondOneIsTried) {
  ASSERT_NO_FATAL_FAILURE(client_->mount());
  const std::string other = stage_->folder() + "/other";
  std::filesystem::create_directory(other);
  for (const std::string& at : {other, client_->mountpoint()}) {
    const Finished second = client_->coffer({"mount", at});
    EXPECT_EQ(second.exit_code, 1);
    EXPECT_THAT(second.err, HasSubstr("already mounted at " + client_->mountpoint()));
  }
  write("file", "content");
  EXPECT_EQ(client_->coffer({"status"}).out.find("unmounted"), std::string::npos);
  EXPECT_EQ(client_->umount().exit_code, 0);
  EXPECT_EQ(client_->coffer({"status"}).exit_code, 0);
}

// Claim: `umount MOUNT; mount MOUNT` works however long the first process takes to end, also in the moment when it has
// taken its name out of the lock and still holds it.
TEST_F(MountCommand, WaitsForAnotherThatIsJustEnding) {
  const std::string lock = client_->home() + "/vaults/first/lock";
  const int fd = ::open(lock.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  ASSERT_GE(fd, 0);
  ::flock whole{};
  whole.l_type = F_WRLCK;
  ASSERT_EQ(::fcntl(fd, F_OFD_SETLK, &whole), 0);
  std::future<Finished> mounted = std::async(std::launch::async, [&] {
    return client_->coffer({"mount", client_->mountpoint()});
  });
  EXPECT_EQ(mounted.wait_for(std::chrono::milliseconds(300)), std::future_status::timeout);
  ::close(fd);
  EXPECT_TRUE(succeeded(mounted.get()));
  EXPECT_TRUE(succeeded(client_->coffer({"umount", client_->mountpoint()})));
}

TEST_F(MountCommand, LeavesWhatIsOwedForTheNextMountWithUmountNow) {
  ASSERT_NO_FATAL_FAILURE(client_->mount());
  stage_->stop_server();
  write("file", "content");
  const Finished now = client_->coffer({"umount", client_->mountpoint(), "--now"});
  EXPECT_EQ(now.exit_code, 0) << now.err;
  EXPECT_THAT(now.out, HasSubstr("not on the server yet"));
  EXPECT_EQ(client_->coffer({"status"}).exit_code, 3);
  EXPECT_EQ(client_->coffer({"spool", "clear"}).exit_code, 1);
  stage_->start_server();
  ASSERT_NO_FATAL_FAILURE(client_->mount());
  EXPECT_EQ(client_->umount().exit_code, 0);
  EXPECT_EQ(client_->coffer({"status"}).exit_code, 0);
}

TEST_F(MountCommand, RefusesToUnmountWhatIsInUse) {
  ASSERT_NO_FATAL_FAILURE(client_->mount());
  {
    const std::ifstream open(write("file", "content"));
    const Finished unmounted = client_->coffer({"umount", client_->mountpoint()});
    EXPECT_EQ(unmounted.exit_code, 1);
    EXPECT_THAT(unmounted.err, HasSubstr("is in use"));
  }
  EXPECT_EQ(client_->umount().exit_code, 0);
}

TEST_F(MountCommand, DoesNotTakeAwayAMountOfAnotherHome) {
  ASSERT_NO_FATAL_FAILURE(client_->mount());
  testing::Client& second = stage_->client("second", "first");
  const Finished unmounted = second.coffer({"umount", client_->mountpoint()});
  EXPECT_EQ(unmounted.exit_code, 1);
  EXPECT_THAT(unmounted.err, HasSubstr("--home"));
  EXPECT_TRUE(client_->is_mounted());
}

TEST_F(MountCommand, EndsASyncAtItsTimeoutWith3) {
  ASSERT_NO_FATAL_FAILURE(client_->mount());
  stage_->stop_server();
  write("file", "content");
  EXPECT_EQ(client_->coffer({"sync", "--timeout", "1s"}).exit_code, 3);
  stage_->start_server();
  EXPECT_EQ(client_->coffer({"sync"}).exit_code, 0);
}

}  // namespace
}  // namespace coffer::cli
