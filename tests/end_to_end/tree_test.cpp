// The main job: what is copied into the mount is, byte for byte and attribute for attribute, on another machine.

#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <fstream>

#include "tests/testing/command.h"
#include "tests/testing/stage.h"

namespace coffer::testing {
namespace {

using std::chrono::seconds;

class EndToEnd : public ::testing::Test {
 protected:
  void SetUp() override {
    if (!can_mount()) GTEST_SKIP() << "no /dev/fuse on this machine";
  }
};

/// A tree with all that cp -a keeps: modes, owners, nanoseconds, symbolic and hard links, odd names, holes, big files.
void make_tree(const std::string& at) {
  const Finished made = shell("mkdir -p '" + at + "' && cd '" + at + R"sh(' &&
      cp -a /usr/include/openssl . && cp -a /usr/include/linux . 2>/dev/null || true
      mkdir -p deep/a/b/c empty && echo text > deep/a/b/c/file && chmod 4750 deep/a/b/c/file && chmod 1777 empty
      ln -s ../deep/a link && ln -s /nowhere/at/all dangling && ln deep/a/b/c/file hard && ln hard hard2
      printf x > "$(printf 'new\nline and "quotes" \\ \351 ')" && : > zero
      chown 1234:4321 hard && touch -d '2001-02-03 04:05:06.123456789' hard && touch -h -d '1999-01-01 00:00:00.5' dangling
      head -c 40000000 /dev/urandom > random.bin && yes 'a line that repeats itself' | head -c 30000000 > lines.txt
      truncate -s 5000000 sparse && printf end | dd of=sparse bs=1 seek=4000000 conv=notrunc status=none
      touch -d '2010-10-10 10:10:10.101010101' deep/a/b deep)sh",
                              seconds(120));
  ASSERT_EQ(made.exit_code, 0) << made.err;
}

// Claim: a second client with an empty home and the key file sees the same tree.
// Method: cp -a into a mount, coffer sync, mount the vault elsewhere read-only, compare the listings.
TEST_F(EndToEnd, ShowsTheSameTreeOnASecondClient) {
  Stage stage;
  const std::string source = stage.folder() + "/source";
  ASSERT_NO_FATAL_FAILURE(make_tree(source));
  Client& first = stage.client("first");
  ASSERT_NO_FATAL_FAILURE(first.mount());
  const Finished copied = run({"cp", "-a", source, first.mountpoint() + "/"}, seconds(300));
  ASSERT_EQ(copied.exit_code, 0) << copied.err;
  const std::string expected = listing(source);
  EXPECT_EQ(listing(first.mountpoint() + "/source"), expected);
  const Finished synced = first.sync();
  ASSERT_EQ(synced.exit_code, 0) << synced.out << synced.err;

  Client& second = stage.client("second", "first");
  ASSERT_NO_FATAL_FAILURE(second.mount("ro"));
  EXPECT_EQ(listing(second.mountpoint() + "/source"), expected);
  EXPECT_TRUE(succeeded(second.umount()));
  EXPECT_TRUE(succeeded(first.umount()));
}

// Claim: after a remount with nothing local the tree is the same, and rsync finds nothing to do.
TEST_F(EndToEnd, ReadsEverythingBackAfterSpoolAndTreeWereCleared) {
  Stage stage;
  const std::string source = stage.folder() + "/source";
  ASSERT_NO_FATAL_FAILURE(make_tree(source));
  Client& client = stage.client("first");
  ASSERT_NO_FATAL_FAILURE(client.mount());
  // Else it leaves a time alone that is in the right second.
  const std::string exact = "--modify-window=-1";
  ASSERT_EQ(run({"rsync", "-aHAX", exact, source, client.mountpoint() + "/"}, seconds(300)).exit_code, 0);
  const std::string expected = listing(source);
  ASSERT_TRUE(succeeded(client.umount()));
  const Finished cleared = client.coffer({"spool", "clear", "--tree"});
  ASSERT_EQ(cleared.exit_code, 0) << cleared.err;

  ASSERT_NO_FATAL_FAILURE(client.mount());
  const Finished again = run({"rsync", "-aHAXi", exact, source, client.mountpoint() + "/"}, seconds(300));
  EXPECT_EQ(again.exit_code, 0);
  EXPECT_EQ(again.out, "");
  EXPECT_EQ(listing(client.mountpoint() + "/source"), expected);
  EXPECT_TRUE(succeeded(client.umount()));
}

// Claim: fsync(2) returns when the server has committed the file.
// Method: dd conv=fsync, then cut the client off with kill -9 and throw its home's spool and tree away.
TEST_F(EndToEnd, HasOnTheServerWhatFsyncAnsweredFor) {
  Stage stage;
  Client& first = stage.client("first");
  ASSERT_NO_FATAL_FAILURE(first.mount());
  const std::string path = first.mountpoint() + "/dir/precious";
  ASSERT_EQ(shell("mkdir " + first.mountpoint() + "/dir && head -c 3000000 /dev/urandom > " + stage.folder() +
                  "/precious && dd if=" + stage.folder() + "/precious of=" + path + " bs=64k conv=fsync status=none")
                .exit_code,
            0);
  first.kill9();
  Client& second = stage.client("second", "first");
  ASSERT_NO_FATAL_FAILURE(second.mount("ro"));
  EXPECT_EQ(run({"cmp", stage.folder() + "/precious", second.mountpoint() + "/dir/precious"}).exit_code, 0);
}

// Claim: `sync MOUNT/.coffer/barrier` is a barrier that ordinary tools can call.
TEST_F(EndToEnd, HasOnTheServerAllThatWasWrittenBeforeTheBarrier) {
  Stage stage;
  Client& first = stage.client("first");
  ASSERT_NO_FATAL_FAILURE(first.mount());
  ASSERT_EQ(shell("for i in $(seq 200); do echo $i > " + first.mountpoint() + "/$i; done").exit_code, 0);
  const Finished barrier = run({"sync", first.mountpoint() + "/.coffer/barrier"});
  ASSERT_EQ(barrier.exit_code, 0) << barrier.err;
  EXPECT_EQ(first.coffer({"status", first.mountpoint()}).exit_code, 0);
  const std::string expected = listing(first.mountpoint());
  first.kill9();
  Client& second = stage.client("second", "first");
  ASSERT_NO_FATAL_FAILURE(second.mount("ro"));
  EXPECT_EQ(listing(second.mountpoint()), expected);
}

// Claim: `coffer sync` waits for the pages that only the kernel has, also of a file that is still open.
TEST_F(EndToEnd, HasOnTheServerWhatAnOpenFileHeldWhenSyncWasCalled) {
  Stage stage;
  Client& first = stage.client("first");
  ASSERT_NO_FATAL_FAILURE(first.mount());
  const std::string content(20'000'000, 'c');
  const int fd = ::open((first.mountpoint() + "/open").c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
  ASSERT_EQ(::write(fd, content.data(), content.size()), static_cast<ssize_t>(content.size()));
  ASSERT_TRUE(succeeded(first.sync()));
  first.kill9();
  ::close(fd);
  Client& second = stage.client("second", "first");
  ASSERT_NO_FATAL_FAILURE(second.mount("ro"));
  std::ifstream file(second.mountpoint() + "/open");
  EXPECT_TRUE(std::string(std::istreambuf_iterator<char>(file), {}) == content);
}

// Claim: right after cp returned there is nothing that `coffer umount` does not wait for.
TEST_F(EndToEnd, UnmountsRightAfterACopyWithNothingOwed) {
  Stage stage;
  Client& client = stage.client("first");
  for (const std::string round : {"1", "2", "3"}) {
    ASSERT_NO_FATAL_FAILURE(client.mount());
    ASSERT_EQ(run({"cp", "-a", "/usr/include/openssl", client.mountpoint() + "/" + round}).exit_code, 0);
    ASSERT_TRUE(succeeded(client.umount())) << "round " << round;
  }
}

}  // namespace
}  // namespace coffer::testing
