// Disks and budgets that are full, and a disk that fails: who is refused, what is kept, and how it goes on.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

#include <chrono>
#include <filesystem>
#include <fstream>
#include <string>

#include "tests/testing/command.h"
#include "tests/testing/eventually.h"
#include "tests/testing/stage.h"
#include "tests/testing/temp_dir.h"

namespace coffer::testing {
namespace {

using namespace std::chrono_literals;
using ::testing::HasSubstr;
namespace fs = std::filesystem;

/// A small file system of its own, in a file; unmounted with the object.
class SmallDisk {
 public:
  SmallDisk(std::string folder, const std::string& size) : folder_(std::move(folder)) {
    fs::create_directories(folder_);
    const Finished made = shell("truncate -s " + size + " " + folder_ + ".img && mkfs.ext4 -q -m 0 " + folder_ +
                                ".img && mount -o loop,errors=remount-ro " + folder_ + ".img " + folder_);
    is_mounted_ = made.exit_code == 0;
    why_ = made.err;
  }
  ~SmallDisk() {
    if (is_mounted_) run({"umount", "-l", folder_});
  }
  SmallDisk(const SmallDisk&) = delete;
  SmallDisk& operator=(const SmallDisk&) = delete;

  bool is_mounted() const { return is_mounted_; }
  const std::string& why() const { return why_; }
  /// All but `bytes` of what is free.
  void fill_up_to(std::uint64_t bytes) const {
    const std::uint64_t free = fs::space(folder_).available;
    ASSERT_TRUE(succeeded(run({"fallocate", "-l", std::to_string(free - bytes), folder_ + "/ballast"})));
  }
  void make_room() const { fs::remove(folder_ + "/ballast"); }

 private:
  const std::string folder_;
  bool is_mounted_ = false;
  std::string why_;
};

class Full : public ::testing::Test {
 protected:
  void SetUp() override {
    if (!can_mount()) GTEST_SKIP() << "no /dev/fuse on this machine";
    stage_ = std::make_unique<Stage>();
  }
  /// `megabytes` of random bytes as one file in the mount, by write(2) of 1 MiB each.
  static Finished fill(const std::string& path, int megabytes) {
    return run({"dd", "if=/dev/urandom", "of=" + path, "bs=1M", "count=" + std::to_string(megabytes)}, 300s);
  }
  ::testing::AssertionResult becomes_committed(const Client& client) const {
    Finished status;
    const auto is_committed = [&] {
      status = client.coffer({"status"});
      return status.exit_code == 0;
    };
    if (eventually(is_committed, 120s)) return ::testing::AssertionSuccess();
    return ::testing::AssertionFailure() << status.out << status.err
                                         << run({"tail", "-n", "20", client.home() + "/vaults/first/mount.log"}).out;
  }

  std::unique_ptr<Stage> stage_;
};

// Claim: where the spool is full of what the server does not have, write(2) waits and then says ENOSPC; what was
// accepted is kept, the status says what is wrong, and all goes on by itself when the server is back.
TEST_F(Full, SpoolTellsTheWriterAndKeepsWhatItAccepted) {
  Client& client = stage_->client("first");
  ASSERT_NO_FATAL_FAILURE(client.mount("cache_size=64M,full_wait=5s,compression=none"));
  const std::string mnt = client.mountpoint();
  stage_->stop_server();
  const std::string source = stage_->folder() + "/source";
  ASSERT_TRUE(succeeded(fill(source, 20)));
  ASSERT_TRUE(succeeded(run({"cp", source, mnt + "/good"})));
  const Finished filled = fill(mnt + "/too-much", 200);
  EXPECT_EQ(filled.exit_code, 1);
  EXPECT_THAT(filled.err, HasSubstr("error writing"));
  EXPECT_THAT(filled.err, HasSubstr("No space left on device"));
  const Finished status = client.coffer({"status"});
  EXPECT_EQ(status.exit_code, 3);
  EXPECT_THAT(status.out, HasSubstr("the spool is full"));
  EXPECT_TRUE(succeeded(run({"cmp", source, mnt + "/good"})));

  ASSERT_NO_FATAL_FAILURE(stage_->start_server());
  EXPECT_TRUE(becomes_committed(client));
  EXPECT_TRUE(succeeded(fill(mnt + "/afterwards", 20)));
  EXPECT_EQ(client.coffer({"status"}).out.find("is full"), std::string::npos);
  EXPECT_TRUE(succeeded(client.umount()));
}

// Claim: a file that was opened while there was room, and whose writes go to the kernel's pages, hears of a full spool
// at write(2), too, also where bytes come faster than they are sealed.
TEST_F(Full, SpoolIsFeltByFilesThatWereOpenedBefore) {
  Client& client = stage_->client("first");
  ASSERT_NO_FATAL_FAILURE(client.mount("cache_size=256M,full_wait=5s,compression=none"));
  stage_->stop_server();
  const std::string source = stage_->folder() + "/source";
  ASSERT_TRUE(succeeded(fill(source, 400)));
  const Finished filled = run({"dd", "if=" + source, "of=" + client.mountpoint() + "/too-much", "bs=1M"}, 300s);
  EXPECT_EQ(filled.exit_code, 1);
  EXPECT_THAT(filled.err, HasSubstr("error writing"));
  EXPECT_EQ(filled.err.find("closing output"), std::string::npos) << "what write(2) took is kept: " << filled.err;
  ASSERT_NO_FATAL_FAILURE(stage_->start_server());
  EXPECT_TRUE(becomes_committed(client));
  EXPECT_TRUE(succeeded(client.umount()));
}

// Claim: a server whose disk is full refuses chunks with that reason, serves reads, and takes the rest when it has room
// again.
TEST_F(Full, ServerRefusesChunksServesReadsAndGoesOnWithRoom) {
  if (::geteuid() != 0) GTEST_SKIP() << "a loop device needs root";
  ASSERT_EQ(stage_->stop_server(), 0);
  ASSERT_TRUE(succeeded(shell("mv " + stage_->server_dir() + " " + stage_->server_dir() + ".moved")));
  const SmallDisk disk(stage_->server_dir(), "400M");
  if (!disk.is_mounted()) GTEST_SKIP() << disk.why();
  ASSERT_TRUE(succeeded(shell("cp -a " + stage_->server_dir() + ".moved/. " + stage_->server_dir())));
  ASSERT_NO_FATAL_FAILURE(stage_->start_server());
  Client& client = stage_->client("first");
  const std::string mnt = client.mountpoint();
  ASSERT_NO_FATAL_FAILURE(client.mount("compression=none"));
  ASSERT_TRUE(succeeded(fill(mnt + "/before", 5)));
  ASSERT_TRUE(succeeded(client.sync()));
  ASSERT_TRUE(succeeded(client.coffer({"spool", "clear"})));

  ASSERT_NO_FATAL_FAILURE(disk.fill_up_to(30 << 20));
  ASSERT_TRUE(succeeded(fill(mnt + "/owed", 20)));
  EXPECT_TRUE(
      eventually([&] { return client.coffer({"status"}).out.find("the disk is full") != std::string::npos; }, 30s));
  EXPECT_EQ(client.coffer({"verify", "--read-data", "/before"}).exit_code, 0);
  EXPECT_EQ(run({"sync", mnt + "/owed"}).exit_code, 1);

  disk.make_room();
  EXPECT_TRUE(becomes_committed(client));
  EXPECT_TRUE(succeeded(client.umount()));
  EXPECT_TRUE(succeeded(stage_->cofferd({"check", "--read-data"})));
  EXPECT_EQ(stage_->stop_server(), 0);
}

// Claim: where the client's own disk is full, writers hear of it, nothing that was accepted is lost, and it goes on
// with room.
TEST_F(Full, ClientDiskTellsTheWriterAndGoesOnWithRoom) {
  if (::geteuid() != 0) GTEST_SKIP() << "a loop device needs root";
  const SmallDisk disk(stage_->folder() + "/home-first", "500M");
  if (!disk.is_mounted()) GTEST_SKIP() << disk.why();
  Client& client = stage_->client("first");
  const std::string mnt = client.mountpoint();
  ASSERT_NO_FATAL_FAILURE(client.mount("full_wait=5s,compression=none"));
  stage_->stop_server();
  ASSERT_NO_FATAL_FAILURE(disk.fill_up_to(200 << 20));
  const std::string source = stage_->folder() + "/source";
  ASSERT_TRUE(succeeded(fill(source, 5)));
  ASSERT_TRUE(succeeded(run({"cp", source, mnt + "/good"})));
  const Finished filled = fill(mnt + "/too-much", 400);
  EXPECT_EQ(filled.exit_code, 1);
  EXPECT_THAT(filled.err, HasSubstr("No space left on device"));
  EXPECT_THAT(client.coffer({"status"}).out, HasSubstr("is full"));
  EXPECT_TRUE(succeeded(run({"mkdir", mnt + "/folder"}))) << "room is spared for the tree";
  disk.make_room();
  ASSERT_NO_FATAL_FAILURE(stage_->start_server());
  EXPECT_TRUE(becomes_committed(client));
  EXPECT_TRUE(succeeded(run({"cmp", source, mnt + "/good"})));
  EXPECT_TRUE(succeeded(client.umount()));
}

// Claim: where the client's disk takes no more writes at all, the mount turns read-only and says why, and what is here
// is read.
TEST_F(Full, ClientDiskThatTurnsReadOnlyTurnsTheMountReadOnly) {
  if (::geteuid() != 0) GTEST_SKIP() << "a loop device needs root";
  const SmallDisk disk(stage_->folder() + "/home-first", "500M");
  if (!disk.is_mounted()) GTEST_SKIP() << disk.why();
  Client& client = stage_->client("first");
  const std::string mnt = client.mountpoint();
  ASSERT_NO_FATAL_FAILURE(client.mount());
  const std::string source = stage_->folder() + "/source";
  ASSERT_TRUE(succeeded(fill(source, 2)));
  ASSERT_TRUE(succeeded(run({"cp", source, mnt + "/good"})));
  // What ext4 does when it finds its journal or its metadata damaged.
  ASSERT_TRUE(succeeded(
      shell("echo 1 > /sys/fs/ext4/$(basename $(findmnt -no SOURCE " + client.home() + "))/trigger_fs_error")));
  EXPECT_TRUE(eventually(
      [&] {
        return run({"mkdir", mnt + "/never"}).err.find("Read-only") != std::string::npos;
      },
      60s));
  EXPECT_THAT(client.coffer({"status"}).out, HasSubstr("this machine's disk failed"));
  EXPECT_TRUE(succeeded(run({"cmp", source, mnt + "/good"})));
  EXPECT_TRUE(succeeded(client.coffer({"umount", mnt, "--now"})));
  EXPECT_FALSE(client.is_mounted());
}

}  // namespace
}  // namespace coffer::testing
