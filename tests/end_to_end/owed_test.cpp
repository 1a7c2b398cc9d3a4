// What a client owes is never lost: not with the server gone, not without the lease, not once it is revoked; and there
// is always a way on.

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "tests/testing/command.h"
#include "tests/testing/eventually.h"
#include "tests/testing/stage.h"

namespace coffer::testing {
namespace {

using std::chrono::seconds;
using ::testing::HasSubstr;
namespace fs = std::filesystem;

class Owed : public ::testing::Test {
 protected:
  void SetUp() override {
    if (!can_mount()) GTEST_SKIP() << "no /dev/fuse on this machine";
  }

  /// Files and folders with what export must keep.
  static void make_tree(const std::string& at) {
    ASSERT_TRUE(
        succeeded(shell("mkdir -p " + at + "/deep/empty && cd " + at +
                        " && echo small > deep/small && chmod 640 deep/small && head -c 3000000 /dev/urandom > large"
                        " && ln -s deep/small link && ln large second-name && truncate -s 5000000 sparse"
                        " && touch -d '2001-02-03 04:05:06.123456789' deep/small && chmod 2750 deep"
                        " && touch -d '2002-02-03 04:05:06.5' deep deep/empty .")));
  }
  static nlohmann::json owed(const Client& client) {
    const Finished listed = client.coffer({"owed", "list", "--json"});
    return nlohmann::json::parse(listed.out, nullptr, false)["owed"];
  }
  static std::string why_of(const Client& client, const std::string& path) {
    for (const nlohmann::json& entry : owed(client)) {
      if (entry["path"] == path) return entry["why"];
    }
    return "nothing";
  }
  static nlohmann::json status(const Client& client) {
    return nlohmann::json::parse(client.coffer({"status", "--json"}).out, nullptr, false);
  }
  static std::string text(const std::string& path) {
    std::ifstream file(path);
    return {std::istreambuf_iterator<char>(file), {}};
  }
  static int write_error(const std::string& path) {
    const int fd = ::open(path.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
    if (fd < 0) return errno;
    ::close(fd);
    return 0;
  }

  Stage stage_;
};

// Claim: with the server gone, mounted and then after a kill -9, export writes out all that is owed just as it is in
// the mount, and touches nothing that is there already.
TEST_F(Owed, IsExportedAsItIsWithTheServerGoneMountedOrNot) {
  Client& client = stage_.client("first");
  ASSERT_NO_FATAL_FAILURE(client.mount());
  EXPECT_EQ(client.coffer({"owed", "list"}).exit_code, 0);
  stage_.stop_server();
  ASSERT_NO_FATAL_FAILURE(make_tree(client.mountpoint() + "/tree"));
  const std::string expected = listing(client.mountpoint() + "/tree");
  const Finished listed = client.coffer({"owed", "list", client.mountpoint()});
  EXPECT_EQ(listed.exit_code, 3) << listed.err;
  EXPECT_THAT(listed.out, HasSubstr("/tree/large\n    content, attributes, name (2.9 MiB), since "));

  const std::string mounted = stage_.folder() + "/mounted";
  ASSERT_TRUE(succeeded(client.coffer({"owed", "export", mounted, client.mountpoint()})));
  EXPECT_EQ(listing(mounted + "/tree"), expected);
  std::ofstream(mounted + "/tree/deep/small") << "mine";
  const Finished again = client.coffer({"owed", "export", mounted, client.mountpoint()});
  EXPECT_EQ(again.exit_code, 1);
  EXPECT_THAT(again.err, HasSubstr("/tree/deep/small is not exported: something of this name is there already"));
  EXPECT_EQ(text(mounted + "/tree/deep/small"), "mine");

  client.kill9();
  EXPECT_THAT(why_of(client, "/tree/large"), HasSubstr("not mounted"));
  const std::string unmounted = stage_.folder() + "/unmounted";
  ASSERT_TRUE(succeeded(client.coffer({"owed", "export", unmounted})));
  EXPECT_EQ(listing(unmounted + "/tree"), expected);
}

// Claim: of a file whose unchanged part is on the server alone, what is here is exported, and what is missing is said.
TEST_F(Owed, IsExportedInPartWhereTheRestIsOnTheServerThatIsGone) {
  Client& client = stage_.client("first");
  ASSERT_NO_FATAL_FAILURE(client.mount());
  const std::string path = client.mountpoint() + "/file";
  ASSERT_TRUE(succeeded(shell("head -c 6000000 /dev/urandom > " + path)));
  ASSERT_TRUE(succeeded(client.sync()));
  ASSERT_TRUE(succeeded(client.coffer({"spool", "clear"})));
  stage_.stop_server();
  ASSERT_TRUE(succeeded(shell("echo changed | dd of=" + path + " bs=1 seek=4000000 conv=notrunc status=none")));
  const std::string to = stage_.folder() + "/to";
  const Finished exported = client.coffer({"owed", "export", to});
  EXPECT_EQ(exported.exit_code, 1);
  EXPECT_THAT(exported.err, HasSubstr("/file is not exported: "));
  EXPECT_THAT(exported.err, HasSubstr(" of its 6000000 bytes lie on the server alone"));
  EXPECT_EQ(text(to + "/file.coffer-incomplete").substr(4'000'000, 8), "changed\n");
  EXPECT_FALSE(fs::exists(to + "/file"));
}

// Claim: a client whose lease was taken away keeps what it owes, pages of an open file that only the kernel had among
// it, turns read-only, exports it, and after `owed drop` writes again. Nothing is dropped that was not exported.
TEST_F(Owed, IsKeptByAClientThatWasFencedOffAndTheWayOnLosesNothing) {
  Client& first = stage_.client("first");
  Client& second = stage_.client("second", "first");
  ASSERT_NO_FATAL_FAILURE(first.mount());
  ASSERT_TRUE(succeeded(shell("echo old > " + first.mountpoint() + "/shared")));
  ASSERT_TRUE(succeeded(first.sync()));
  const std::string open_file = first.mountpoint() + "/open";
  const int fd = ::open(open_file.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
  ASSERT_EQ(::write(fd, "kernel", 6), 6);

  ASSERT_NO_FATAL_FAILURE(second.mount("", {"--take-lease"}));
  ASSERT_TRUE(succeeded(shell("echo theirs > " + second.mountpoint() + "/shared")));
  ASSERT_TRUE(succeeded(second.sync()));
  ASSERT_TRUE(succeeded(shell("echo mine > " + first.mountpoint() + "/mine")));
  ASSERT_TRUE(eventually([&] { return write_error(first.mountpoint() + "/x") == EROFS; }, seconds(30)));
  ::close(fd);
  EXPECT_EQ(first.coffer({"status"}).exit_code, 3);
  EXPECT_EQ(status(first)["lease"]["state"], "lost");
  EXPECT_EQ(first.coffer({"sync", "--timeout", "5"}).exit_code, 3);
  EXPECT_EQ(text(first.mountpoint() + "/mine"), "mine\n");
  EXPECT_THAT(first.coffer({"status"}).out, HasSubstr("coffer owed export"));
  EXPECT_THAT(why_of(first, "/mine"), HasSubstr("right to write was lost"));
  EXPECT_EQ(first.coffer({"owed", "drop"}).exit_code, 1) << "still mounted";
  ASSERT_TRUE(succeeded(first.coffer({"umount", "--now", first.mountpoint()})));

  // It stays so at the next mount, which leaves the lease to whom can use it.
  ASSERT_NO_FATAL_FAILURE(first.mount("", {"--take-lease"}));
  EXPECT_EQ(write_error(first.mountpoint() + "/x"), EROFS);
  EXPECT_EQ(text(first.mountpoint() + "/mine"), "mine\n");
  EXPECT_EQ(write_error(second.mountpoint() + "/still-writes"), 0);
  ASSERT_TRUE(succeeded(second.sync()));
  ASSERT_TRUE(succeeded(first.coffer({"umount", "--now", first.mountpoint()})));

  const Finished refused = first.coffer({"owed", "drop"});
  EXPECT_EQ(refused.exit_code, 1);
  EXPECT_THAT(refused.err, HasSubstr("coffer owed export DIR"));
  const std::string to = stage_.folder() + "/to";
  ASSERT_TRUE(succeeded(first.coffer({"owed", "export", to})));
  EXPECT_EQ(text(to + "/mine"), "mine\n");
  EXPECT_EQ(text(to + "/open"), "kernel");
  ASSERT_TRUE(succeeded(first.coffer({"owed", "drop"})));
  ASSERT_TRUE(succeeded(second.umount()));

  ASSERT_NO_FATAL_FAILURE(first.mount());
  EXPECT_EQ(text(first.mountpoint() + "/shared"), "theirs\n");
  EXPECT_FALSE(fs::exists(first.mountpoint() + "/mine"));
  ASSERT_TRUE(succeeded(shell("cp -a " + to + "/. " + first.mountpoint() + "/")));
  EXPECT_TRUE(succeeded(first.sync()));
  EXPECT_TRUE(succeeded(first.umount()));
}

// Claim: what became owed after an export is not dropped with it.
TEST_F(Owed, IsNotDroppedWhereItIsNewerThanTheExport) {
  Client& client = stage_.client("first");
  ASSERT_NO_FATAL_FAILURE(client.mount());
  stage_.stop_server();
  ASSERT_TRUE(succeeded(shell("echo 1 > " + client.mountpoint() + "/one")));
  ASSERT_TRUE(succeeded(client.coffer({"owed", "export", stage_.folder() + "/to"})));
  ASSERT_TRUE(succeeded(shell("echo 2 > " + client.mountpoint() + "/two")));
  client.kill9();
  EXPECT_EQ(client.coffer({"owed", "drop"}).exit_code, 1);
  EXPECT_EQ(client.coffer({"owed", "list"}).exit_code, 3);
  EXPECT_TRUE(succeeded(client.coffer({"owed", "drop", "--lose-unexported"})));
  EXPECT_EQ(client.coffer({"owed", "list"}).exit_code, 0);
}

// Claim: the note of an export speaks of one tree. What the next tree owes is not dropped on its word, though its Marks
// are lower, and not where a kill left the note beside the new tree.
TEST_F(Owed, IsNotDroppedOnTheWordOfAnExportFromAnEarlierTree) {
  Client& client = stage_.client("first");
  const std::string note = client.home() + "/vaults/first/exported.json";
  ASSERT_NO_FATAL_FAILURE(client.mount());
  stage_.stop_server();
  ASSERT_TRUE(succeeded(shell("cd " + client.mountpoint() + " && for i in $(seq 50); do echo $i > f$i; done")));
  ASSERT_TRUE(succeeded(client.coffer({"owed", "export", stage_.folder() + "/to"})));
  const std::string noted = text(note);
  stage_.start_server();
  ASSERT_TRUE(succeeded(client.sync()));
  ASSERT_TRUE(succeeded(client.umount()));
  ASSERT_TRUE(succeeded(client.coffer({"spool", "clear", "--tree"})));
  EXPECT_FALSE(fs::exists(note));

  ASSERT_NO_FATAL_FAILURE(client.mount());
  stage_.stop_server();
  ASSERT_TRUE(succeeded(shell("echo 2 > " + client.mountpoint() + "/second")));
  ASSERT_TRUE(succeeded(client.coffer({"umount", "--now", client.mountpoint()})));
  for (const bool is_left : {false, true}) {
    if (is_left) std::ofstream(note) << noted;
    EXPECT_EQ(client.coffer({"owed", "drop"}).exit_code, 1);
    ASSERT_EQ(client.coffer({"owed", "list"}).exit_code, 3);
  }
  ASSERT_TRUE(succeeded(client.coffer({"owed", "export", stage_.folder() + "/second"})));
  EXPECT_EQ(text(stage_.folder() + "/second/second"), "2\n");
  EXPECT_TRUE(succeeded(client.coffer({"owed", "drop"})));
}

// Claim: the tree goes first, and whole; spool and staging hold what it names for as long as it has its name. What a
// clear leaves behind that is cut off after that is nothing to the next mount.
TEST_F(Owed, IsThereWithAllItsBytesOrNotAtAllWhereAClearIsCutOff) {
  Client& client = stage_.client("first");
  const std::string home = client.home() + "/vaults/first";
  ASSERT_NO_FATAL_FAILURE(client.mount());
  ASSERT_TRUE(succeeded(shell("echo kept > " + client.mountpoint() + "/kept")));
  ASSERT_TRUE(succeeded(client.sync()));
  stage_.stop_server();
  ASSERT_TRUE(succeeded(shell("head -c 3000000 /dev/urandom > " + client.mountpoint() + "/mine")));
  ASSERT_TRUE(succeeded(client.coffer({"umount", "--now", client.mountpoint()})));

  ASSERT_TRUE(succeeded(shell("mkdir -p " + home + "/tree.db.cleared/in-the-way")));
  EXPECT_EQ(client.coffer({"owed", "drop", "--lose-unexported"}).exit_code, 1);
  ASSERT_TRUE(succeeded(client.coffer({"owed", "export", stage_.folder() + "/to"})));
  EXPECT_EQ(fs::file_size(stage_.folder() + "/to/mine"), 3'000'000);

  fs::remove_all(home + "/tree.db.cleared");
  ASSERT_TRUE(succeeded(shell("mv " + home + "/tree.db " + home + "/tree.db.cleared")));  // As a kill leaves it.
  stage_.start_server();
  ASSERT_NO_FATAL_FAILURE(client.mount());
  EXPECT_EQ(text(client.mountpoint() + "/kept"), "kept\n");
  EXPECT_FALSE(fs::exists(client.mountpoint() + "/mine"));
  EXPECT_FALSE(fs::exists(home + "/tree.db.cleared"));
}

// Claim: a revoked client reads what is local, writes no more, and keeps and exports what it owes.
TEST_F(Owed, IsKeptAndExportedByARevokedClient) {
  Client& client = stage_.client("first");
  ASSERT_NO_FATAL_FAILURE(client.mount());
  stage_.stop_server();
  ASSERT_TRUE(succeeded(shell("echo mine > " + client.mountpoint() + "/mine")));
  ASSERT_EQ(stage_.cofferd({"revoke", "first"}).exit_code, 0);
  stage_.start_server();
  ASSERT_TRUE(eventually([&] { return write_error(client.mountpoint() + "/x") == EROFS; }, seconds(40)));
  EXPECT_EQ(text(client.mountpoint() + "/mine"), "mine\n");
  EXPECT_EQ(client.coffer({"status"}).exit_code, 3);
  EXPECT_EQ(status(client)["link"]["state"], "refused");
  ASSERT_TRUE(succeeded(client.coffer({"owed", "export", stage_.folder() + "/mounted"})));
  EXPECT_EQ(text(stage_.folder() + "/mounted/mine"), "mine\n");
  ASSERT_TRUE(succeeded(client.coffer({"umount", "--now", client.mountpoint()})));
  ASSERT_TRUE(succeeded(client.coffer({"owed", "export", stage_.folder() + "/unmounted"})));
  EXPECT_EQ(text(stage_.folder() + "/unmounted/mine"), "mine\n");
}

// Claim: an upload that fails for good is told by the next fsync and close of that file, stands in the status and in
// `owed list` until it is resolved, and holds no other file up.
TEST_F(Owed, SaysOfAFileThatCannotBeSentWhyUntilItIsWrittenAgain) {
  Client& client = stage_.client("first");
  ASSERT_NO_FATAL_FAILURE(client.mount());
  const std::string bad = client.mountpoint() + "/bad";
  stage_.stop_server();
  ASSERT_TRUE(succeeded(shell("head -c 1000000 /dev/urandom > " + bad)));
  client.kill9();  // What was sealed just now would be sent from memory.
  ASSERT_NO_FATAL_FAILURE(client.mount());
  for (const auto& entry : fs::recursive_directory_iterator(client.home() + "/vaults/first/spool")) {
    if (entry.path().extension() != ".pack") continue;
    std::fstream pack(entry.path(), std::ios::in | std::ios::out | std::ios::binary);
    pack.seekp(500'000);
    pack.put('!');
  }
  stage_.start_server();
  ASSERT_TRUE(eventually([&] { return why_of(client, "/bad").find("can no longer be read") != std::string::npos; },
                         seconds(40)));
  EXPECT_EQ(client.coffer({"status"}).exit_code, 3);
  EXPECT_THAT(client.coffer({"status"}).out, HasSubstr("can no longer be read"));
  int fd = ::open(bad.c_str(), O_WRONLY | O_CLOEXEC);
  EXPECT_EQ(::fsync(fd), -1);
  EXPECT_EQ(errno, EIO);
  EXPECT_EQ(::fsync(fd), -1) << "it is not on the server yet";
  ::close(fd);
  EXPECT_EQ(client.coffer({"sync"}).exit_code, 3);
  ASSERT_TRUE(
      succeeded(shell("echo good > " + client.mountpoint() + "/good && sync " + client.mountpoint() + "/good")));

  ASSERT_TRUE(succeeded(shell("echo again > " + bad)));
  EXPECT_TRUE(succeeded(client.sync()));
  EXPECT_EQ(status(client)["problems"].size(), 0u);
  EXPECT_TRUE(succeeded(client.umount()));
}

}  // namespace
}  // namespace coffer::testing
