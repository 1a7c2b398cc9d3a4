// What the server has lost comes back from whoever still has it; a server that went back is seen, and there is a way
// on.

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "tests/testing/command.h"
#include "tests/testing/eventually.h"
#include "tests/testing/stage.h"

namespace coffer::testing {
namespace {

using std::chrono::seconds;
namespace fs = std::filesystem;

std::vector<std::string> packs_of(const Stage& stage) {
  std::vector<std::string> packs;
  for (const auto& entry : fs::recursive_directory_iterator(stage.server_dir() + "/vaults")) {
    if (entry.path().extension() == ".pack") packs.push_back(entry.path());
  }
  return packs;
}

void flip(const std::string& path, std::uint64_t offset) {
  std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
  file.seekg(static_cast<std::streamoff>(offset));
  const int byte = file.get();
  file.seekp(static_cast<std::streamoff>(offset));
  file.put(static_cast<char>(byte ^ 16));
}

class Damage : public ::testing::Test {
 protected:
  void SetUp() override {
    if (!can_mount()) GTEST_SKIP() << "no /dev/fuse on this machine";
  }

  /// Puts the server's directory aside; swap() puts it back in place of what is there.
  void keep_copy(Stage& stage, const std::string& name) {
    ASSERT_EQ(stage.stop_server(), 0);
    ASSERT_TRUE(succeeded(run({"cp", "-a", stage.server_dir(), stage.folder() + "/" + name})));
    ASSERT_NO_FATAL_FAILURE(stage.start_server());
  }
  void swap(Stage& stage, const std::string& name, const std::string& keep_as) {
    ASSERT_EQ(stage.stop_server(), 0);
    fs::rename(stage.server_dir(), stage.folder() + "/" + keep_as);
    ASSERT_TRUE(succeeded(run({"cp", "-a", stage.folder() + "/" + name, stage.server_dir()})));
    ASSERT_NO_FATAL_FAILURE(stage.start_server());
  }
  static nlohmann::json status(Client& client) {
    return nlohmann::json::parse(client.coffer({"status", "--json", client.mountpoint()}).out, nullptr, false);
  }
  static bool sees_alarm(Client& client, bool looked_into) {
    return eventually(
        [&] {
          const nlohmann::json now = status(client);
          if (!now.is_object() || !now.contains("alarm")) return false;
          return !looked_into || now["alarm"]["path_count"] > 0;
        },
        seconds(60));
  }
};

// Claim: chunks that went bad on the server, and a whole lost pack, come back from the spool of a mounted client that
// has them, reader or writer, without anyone doing anything; then the server is well.
TEST_F(Damage, IsHealedFromTheSpoolOfAnyClient) {
  Stage stage;
  Client& writer = stage.client("first");
  ASSERT_NO_FATAL_FAILURE(writer.mount());
  ASSERT_EQ(
      shell("cd " + writer.mountpoint() + "; for i in 1 2 3; do head -c 3000000 /dev/urandom > $i; done").exit_code, 0);
  ASSERT_TRUE(succeeded(writer.umount()));
  Client& reader = stage.client("second", "first");
  ASSERT_NO_FATAL_FAILURE(reader.mount("ro"));
  const std::string before = listing(reader.mountpoint());  // All of it is in the reader's spool now.
  ASSERT_EQ(writer.coffer({"spool", "clear"}).exit_code, 0);
  for (const bool whole_pack : {false, true}) {
    ASSERT_EQ(stage.stop_server(), 0);
    const std::vector<std::string> packs = packs_of(stage);
    for (const std::string& pack : packs) {
      if (whole_pack) {
        fs::remove(pack);
      } else {
        flip(pack, 1'000'000);
        flip(pack, 5'000'000);
      }
    }
    EXPECT_EQ(stage.cofferd({"check", "--read-data"}).exit_code, 4);
    ASSERT_NO_FATAL_FAILURE(stage.start_server());
    EXPECT_TRUE(eventually([&] { return stage.cofferd({"check", "--read-data"}).exit_code == 0; }, seconds(90)));
  }
  EXPECT_GT(status(reader)["server_health"]["healed_chunks"], 0);
  ASSERT_TRUE(succeeded(reader.umount()));
  ASSERT_NO_FATAL_FAILURE(writer.mount());
  EXPECT_EQ(listing(writer.mountpoint()), before);
  EXPECT_EQ(writer.coffer({"verify", "--read-data"}).exit_code, 0);
  EXPECT_TRUE(succeeded(writer.umount()));
  EXPECT_NE(stage.cofferd({"vaults"}).out.find("SCRUBBED"), std::string::npos);
}

// Claim: a server that was set back to an old copy under a mounted client is seen within seconds; the alarm says which
// commits and which files are missing; nothing is sent or overwritten; all stays readable. `coffer recover
// --send-again` brings the server to where it was, and another client sees the same tree.
TEST_F(Damage, OfAServerThatWentBackIsNamedAndSentAgain) {
  Stage stage;
  Client& client = stage.client("first");
  ASSERT_NO_FATAL_FAILURE(client.mount());
  const std::string mnt = client.mountpoint();
  ASSERT_EQ(shell("cd " + mnt + "; mkdir kept; echo 1 > kept/a; echo 2 > kept/b; echo 3 > gone").exit_code, 0);
  ASSERT_TRUE(succeeded(client.sync()));
  ASSERT_NO_FATAL_FAILURE(keep_copy(stage, "old"));
  ASSERT_EQ(
      shell("cd " + mnt + "; head -c 2000000 /dev/urandom > large; echo changed > kept/a; mv kept/b moved; rm gone")
          .exit_code,
      0);
  ASSERT_TRUE(succeeded(client.sync()));
  const std::string tree = listing(mnt);
  ASSERT_NO_FATAL_FAILURE(swap(stage, "old", "newer"));
  const std::string old_log = shell("cd " + stage.server_dir() + "/vaults/*/packs && sha256sum *.pack").out;

  ASSERT_TRUE(sees_alarm(client, true)) << client.coffer({"status", mnt}).out;
  const nlohmann::json alarm = status(client)["alarm"];
  EXPECT_LT(alarm["server_seq"], alarm["seen_seq"]);
  EXPECT_EQ(alarm["last_common"], alarm["server_seq"]);
  EXPECT_EQ(alarm["paths"], (nlohmann::json{"/kept/a", "/large", "/moved"}));
  const Finished said = client.coffer({"status", mnt});
  EXPECT_NE(said.exit_code, 0);
  EXPECT_NE(said.out.find("/kept/a"), std::string::npos) << said.out;
  EXPECT_NE(shell("echo new > " + mnt + "/new").exit_code, 0) << "nothing new is accepted";
  EXPECT_EQ(listing(mnt), tree) << "all that is here can be read";
  EXPECT_EQ(run({"grep", "-c", "large", client.log_file()}).out, "0\n") << "no names in the log";
  EXPECT_EQ(client.coffer({"check", mnt}).exit_code, 4);
  ASSERT_TRUE(succeeded(client.coffer({"umount", "--now", mnt})));
  EXPECT_EQ(shell("cd " + stage.server_dir() + "/vaults/*/packs && sha256sum *.pack").out, old_log)
      << "nothing was sent to a server that is not believed";

  const Finished looked = client.coffer({"recover"});
  EXPECT_EQ(looked.exit_code, 4) << looked.out << looked.err;
  EXPECT_NE(looked.out.find("/large"), std::string::npos) << looked.out;
  EXPECT_NE(looked.out.find("--send-again"), std::string::npos) << looked.out;
  ASSERT_TRUE(succeeded(client.coffer({"recover", "--send-again"})));
  ASSERT_NO_FATAL_FAILURE(client.mount());
  ASSERT_TRUE(succeeded(client.sync()));
  EXPECT_EQ(listing(mnt), tree);
  EXPECT_EQ(client.coffer({"check", mnt}).exit_code, 0) << client.coffer({"check", mnt}).out;
  EXPECT_EQ(client.coffer({"verify", "--read-data"}).exit_code, 0);
  ASSERT_TRUE(succeeded(client.umount()));
  EXPECT_EQ(client.coffer({"recover"}).exit_code, 0);
  EXPECT_EQ(stage.cofferd({"check", "--read-data"}).exit_code, 0);
  Client& second = stage.client("second", "first");
  ASSERT_NO_FATAL_FAILURE(second.mount("ro"));
  EXPECT_EQ(listing(second.mountpoint()), tree);
}

// Claim: the server's newer copy, put back, needs nothing but a mount.
TEST_F(Damage, OfAServerThatWentBackIsOverWhenItsNewerCopyReturns) {
  Stage stage;
  Client& client = stage.client("first");
  ASSERT_NO_FATAL_FAILURE(keep_copy(stage, "old"));
  ASSERT_NO_FATAL_FAILURE(client.mount());
  ASSERT_EQ(shell("echo 1 > " + client.mountpoint() + "/a").exit_code, 0);
  ASSERT_TRUE(succeeded(client.umount()));
  ASSERT_NO_FATAL_FAILURE(swap(stage, "old", "newer"));
  ASSERT_NO_FATAL_FAILURE(client.mount());
  EXPECT_TRUE(sees_alarm(client, false));
  ASSERT_TRUE(succeeded(client.coffer({"umount", "--now", client.mountpoint()})));
  ASSERT_NO_FATAL_FAILURE(swap(stage, "newer", "older"));
  ASSERT_NO_FATAL_FAILURE(client.mount());
  ASSERT_EQ(shell("echo 2 > " + client.mountpoint() + "/b").exit_code, 0);
  EXPECT_TRUE(succeeded(client.umount()));
}

// Claim: a fork (another client went on from the old copy) is seen, also where its log is as long or longer, and is not
// sent over; after --take-server this client has the other's state.
TEST_F(Damage, OfAForkedLogIsSeenAndNotWrittenOver) {
  Stage stage;
  Client& first = stage.client("first");
  Client& second = stage.client("second", "first");
  ASSERT_NO_FATAL_FAILURE(first.mount());
  ASSERT_EQ(shell("echo 1 > " + first.mountpoint() + "/common").exit_code, 0);
  ASSERT_TRUE(succeeded(first.umount()));
  ASSERT_NO_FATAL_FAILURE(keep_copy(stage, "old"));
  ASSERT_NO_FATAL_FAILURE(first.mount());
  ASSERT_EQ(shell("echo 2 > " + first.mountpoint() + "/firsts").exit_code, 0);
  ASSERT_TRUE(succeeded(first.umount()));
  ASSERT_NO_FATAL_FAILURE(swap(stage, "old", "newer"));
  ASSERT_NO_FATAL_FAILURE(second.mount());
  ASSERT_EQ(shell("cd " + second.mountpoint() + "; echo 3 > seconds; sync seconds; echo 4 > more; sync more").exit_code,
            0);
  ASSERT_TRUE(succeeded(second.umount()));

  ASSERT_NO_FATAL_FAILURE(first.mount());
  EXPECT_TRUE(sees_alarm(first, true));
  EXPECT_NE(first.coffer({"status", first.mountpoint()}).out.find("fork"), std::string::npos);
  EXPECT_EQ(run({"cat", first.mountpoint() + "/firsts"}).out, "2\n");
  EXPECT_NE(shell("echo 5 > " + first.mountpoint() + "/new").exit_code, 0);
  ASSERT_TRUE(succeeded(first.coffer({"umount", "--now", first.mountpoint()})));
  const Finished refused = first.coffer({"recover", "--send-again"});
  EXPECT_EQ(refused.exit_code, 1) << refused.out;
  EXPECT_NE(refused.err.find("--take-server"), std::string::npos) << refused.err;
  ASSERT_TRUE(succeeded(first.coffer({"recover", "--take-server"})));
  ASSERT_NO_FATAL_FAILURE(first.mount());
  EXPECT_EQ(run({"cat", first.mountpoint() + "/seconds"}).out, "3\n");
  EXPECT_TRUE(succeeded(first.umount()));
}

}  // namespace
}  // namespace coffer::testing
