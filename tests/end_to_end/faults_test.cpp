// Kills, damage and curiosity: what is lost (nothing), what is sent twice (nothing), what a thief reads (nothing).

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "tests/testing/command.h"
#include "tests/testing/eventually.h"
#include "tests/testing/stage.h"

namespace coffer::testing {
namespace {

using std::chrono::seconds;
namespace fs = std::filesystem;

class Faults : public ::testing::Test {
 protected:
  void SetUp() override {
    if (!can_mount()) GTEST_SKIP() << "no /dev/fuse on this machine";
  }
};

// Claim: kill -9 of the client right after cp returned loses nothing, and what was stored is not sent again.
TEST_F(Faults, LoseNothingToAKillOfTheClientRightAfterCp) {
  Stage stage;
  const std::string source = stage.folder() + "/source";
  ASSERT_EQ(shell("mkdir " + source + " && cp -a /usr/include/openssl " + source +
                  "/ && head -c 60000000 /dev/urandom > " + source + "/big")
                .exit_code,
            0);
  Client& client = stage.client("first");
  ASSERT_NO_FATAL_FAILURE(client.mount());
  ASSERT_EQ(run({"cp", "-a", source, client.mountpoint() + "/"}, seconds(300)).exit_code, 0);
  client.kill9();
  ASSERT_NO_FATAL_FAILURE(client.mount());
  EXPECT_EQ(listing(client.mountpoint() + "/source"), listing(source));
  ASSERT_TRUE(succeeded(client.sync()));
  // 60 MB of random bytes and a megabyte of headers: anything sent twice would show.
  EXPECT_LT(stored_bytes(stage), 64'000'000u);
  EXPECT_TRUE(succeeded(client.umount()));
}

// Claim: kill -9 of the server in the middle of an upload and a restart: it goes on without a remount, to the end.
TEST_F(Faults, LetAnUploadGoOnWhenTheServerIsKilledAndStartedAgain) {
  Stage stage;
  const std::string source = stage.folder() + "/source";
  ASSERT_EQ(shell("mkdir " + source + " && head -c 150000000 /dev/urandom > " + source + "/big").exit_code, 0);
  Client& first = stage.client("first");
  ASSERT_NO_FATAL_FAILURE(first.mount());
  Process copy({"cp", source + "/big", first.mountpoint() + "/big"}, stage.folder() + "/cp.log");
  ASSERT_TRUE(eventually([&] { return stored_bytes(stage) > 20'000'000; }, seconds(60)));
  stage.kill9_server();
  ASSERT_EQ(copy.wait(seconds(120)), 0);
  ASSERT_NO_FATAL_FAILURE(stage.start_server());
  const Finished synced = first.sync();
  ASSERT_EQ(synced.exit_code, 0) << synced.out << synced.err;
  EXPECT_EQ(stage.cofferd({"check", "--read-data"}).exit_code, 0);

  Client& second = stage.client("second", "first");
  ASSERT_NO_FATAL_FAILURE(second.mount("ro"));
  EXPECT_EQ(run({"cmp", source + "/big", second.mountpoint() + "/big"}, seconds(120)).exit_code, 0);
}

// Claim: neither content nor names reach the server in plain, and content not even the client's own disk.
TEST_F(Faults, LeaveNoPlainBytesBehind) {
  Stage stage;
  Client& client = stage.client("first");
  ASSERT_NO_FATAL_FAILURE(client.mount());
  const std::string text = "MARKER-TEXT-5f1c22", name = "MARKER-NAME-9ab077";
  ASSERT_EQ(shell("cd " + client.mountpoint() + "; for i in 1 2 3; do mkdir " + name + "$i; yes " + text +
                  " | head -c ${i}00000 > " + name + "$i/" + name + "; done; yes " + text +
                  " | head -c 9000000 > big; echo " + text + " > small")
                .exit_code,
            0);
  ASSERT_TRUE(succeeded(client.sync()));
  EXPECT_EQ(run({"grep", "-rqa", text, client.home()}).exit_code, 1);
  EXPECT_EQ(run({"grep", "-rqa", text, stage.server_dir()}).exit_code, 1);
  EXPECT_EQ(run({"grep", "-rqa", name, stage.server_dir()}).exit_code, 1);
  EXPECT_EQ(run({"grep", "-qa", name, stage.server_log(), client.log_file()}).exit_code, 1);
  EXPECT_TRUE(succeeded(client.umount()));
}

// Claim: one flipped byte in a pack is found and named; the file that needs it fails with EIO, all others read well.
TEST_F(Faults, NameTheChunkWithAFlippedByteAndSpareAllOtherFiles) {
  Stage stage;
  Client& client = stage.client("first");
  ASSERT_NO_FATAL_FAILURE(client.mount());
  const std::string mnt = client.mountpoint();
  ASSERT_EQ(shell("for i in 1 2 3 4 5 6; do head -c 3000000 /dev/urandom > " + mnt + "/$i; done").exit_code, 0);
  ASSERT_TRUE(succeeded(client.umount()));
  ASSERT_EQ(client.coffer({"spool", "clear"}).exit_code, 0);
  ASSERT_EQ(stage.stop_server(), 0);

  std::string pack;
  for (const auto& entry : fs::recursive_directory_iterator(stage.server_dir() + "/vaults")) {
    if (entry.path().extension() == ".pack") pack = entry.path();
  }
  ASSERT_FALSE(pack.empty());
  {
    std::fstream file(pack, std::ios::in | std::ios::out | std::ios::binary);
    file.seekg(1'500'000);
    const int byte = file.get();
    file.seekp(1'500'000);
    file.put(static_cast<char>(byte ^ 1));
  }
  const Finished checked = stage.cofferd({"check", "--read-data"});
  EXPECT_EQ(checked.exit_code, 4) << checked.out << checked.err;
  EXPECT_TRUE((checked.out + checked.err).find_first_of("0123456789abcdef") != std::string::npos);

  ASSERT_NO_FATAL_FAILURE(stage.start_server());
  ASSERT_NO_FATAL_FAILURE(client.mount());
  int bad = 0;
  for (const char* name : {"1", "2", "3", "4", "5", "6"}) {
    const Finished read = run({"cat", mnt + "/" + name});
    if (read.exit_code != 0) {
      ++bad;
      EXPECT_NE(read.err.find("Input/output error"), std::string::npos) << read.err;
    } else {
      EXPECT_EQ(read.out.size(), 3'000'000u);
    }
  }
  EXPECT_EQ(bad, 1);
  EXPECT_EQ(client.coffer({"verify", "--read-data"}).exit_code, 4);
  EXPECT_TRUE(succeeded(client.umount()));
}

// Claim: a revocation cuts a mounted client off within a second; what is local goes on being readable.
TEST_F(Faults, CutARevokedClientOff) {
  Stage stage;
  Client& client = stage.client("first");
  ASSERT_NO_FATAL_FAILURE(client.mount());
  ASSERT_EQ(shell("echo kept > " + client.mountpoint() + "/file").exit_code, 0);
  ASSERT_TRUE(succeeded(client.sync()));
  ASSERT_EQ(stage.cofferd({"revoke", "first"}).exit_code, 0);
  EXPECT_TRUE(eventually(
      [&] {
        return run({"grep", "-q", "revoked", stage.server_log()}).exit_code == 0;
      },
      seconds(2)));
  EXPECT_EQ(run({"cat", client.mountpoint() + "/file"}).out, "kept\n");
  EXPECT_EQ(client.coffer({"status", client.mountpoint()}).timed_out, false);
}

}  // namespace
}  // namespace coffer::testing
