// Mounting as fstab(5), mount(8) and users without privileges do it.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "tests/testing/command.h"
#include "tests/testing/stage.h"

namespace coffer::cli {
namespace {

using testing::Finished;
using ::testing::HasSubstr;
using testing::succeeded;

class MountOptions : public ::testing::Test {
 protected:
  void SetUp() override {
    if (!testing::can_mount()) GTEST_SKIP() << "no /dev/fuse on this machine";
    if (::getuid() != 0) GTEST_SKIP() << "mount(8) and other users are for root to try";
    client_ = &stage_.client("first");
  }
  testing::Stage stage_;
  testing::Client* client_ = nullptr;
};

TEST_F(MountOptions, AreWhatTheMountShows) {
  ASSERT_NO_FATAL_FAILURE(client_->mount());
  std::ofstream(client_->mountpoint() + "/file") << "text";
  ASSERT_EQ(client_->umount().exit_code, 0);
  ASSERT_NO_FATAL_FAILURE(client_->mount("ro,uid=1234,gid=2345,umask=077,noexec,noatime,suid,dev,fsname=photos"));
  const Finished shown = testing::shell("stat -c '%u %g %a' " + client_->mountpoint() + "/file; grep " +
                                        client_->mountpoint() + " /proc/self/mounts");
  EXPECT_THAT(shown.out, HasSubstr("1234 2345 700\n"));
  EXPECT_THAT(shown.out, HasSubstr("photos " + client_->mountpoint() + " fuse.coffer ro,noexec,noatime,"));
  EXPECT_FALSE(std::ofstream(client_->mountpoint() + "/new").is_open());
}

// Claim: each that mount(8) knows of times of access is taken, by libfuse too, and counts. What they mean together with
// each change is in tests/mount/inode_test.cpp.
TEST_F(MountOptions, OfAtimesAreAllTaken) {
  const std::pair<const char*, const char*> expected[] = {
      {"relatime", "file folder "}, {"strictatime", "file folder "}, {"nodiratime", "file "}, {"noatime", ""}};
  for (const auto& [option, read] : expected) {
    SCOPED_TRACE(option);
    ASSERT_NO_FATAL_FAILURE(client_->mount(option));
    const Finished shown = testing::shell(
        "cd " + client_->mountpoint() +
        "; rm -rf file folder; echo x >file; mkdir folder; touch -a -d 2001-01-01 file folder; cat file >/dev/null; "
        "ls folder; for f in file folder; do [ $(stat -c %x $f | cut -c1-4) = 2001 ] || echo -n \"$f \"; done");
    EXPECT_EQ(shown.out, read);
    ASSERT_EQ(client_->umount().exit_code, 0);
  }
}

// Claim: a line of fstab(5) mounts, also by mount(8)'s own way of calling the helper; umount(8) unmounts, and mounting
// again at once works.
//
// Method: /usr/sbin is covered, for this test's processes alone, by one that has the helper in it.
TEST_F(MountOptions, StandInALineOfFstab) {
  std::filesystem::create_directories(stage_.folder() + "/sbin");
  std::filesystem::create_directories(stage_.folder() + "/covered");
  const std::string fstab = stage_.folder() + "/fstab";
  std::ofstream(fstab) << "first " << client_->mountpoint()
                       << " coffer noauto,_netdev,nofail,x-test=1,home=" << client_->home()
                       << ",allow_other,compression=zstd:1,umask=022 0 0\n";
  const Finished finished = testing::shell(
      "exec unshare -m bash -e <<'END'\n"
      "export C=" +
      testing::bin_folder() + " S=" + stage_.folder() + " M=" + client_->mountpoint() + " H=" + client_->home() + "\n" +
      R"(mount --bind /usr/sbin $S/covered
      ln -s $S/covered/* $S/sbin/
      cp )" COFFER_VECTORS R"(/../../packaging/mount.coffer $S/sbin/
      ln -s $C/coffer $S/sbin/
      mount --bind $S/sbin /usr/sbin
      mount -T $S/fstab $M
      echo text > $M/file; grep $M /proc/self/mounts; umount $M
      mount -t coffer -o ro,home=$H none $M
      cat $M/file; grep $M /proc/self/mounts; umount $M
      mount -t coffer -o frobnicate,home=$H none $M || echo refused with $?
)"
      "END");
  EXPECT_TRUE(succeeded(finished));
  EXPECT_THAT(finished.out, HasSubstr("fuse.coffer rw,"));
  EXPECT_THAT(finished.out, HasSubstr("text\n"));
  EXPECT_THAT(finished.out, HasSubstr("fuse.coffer ro,"));
  EXPECT_THAT(finished.out, HasSubstr("refused with"));
  EXPECT_THAT(finished.err, HasSubstr("unknown mount option 'frobnicate'"));
}

// Claim: who is not root mounts, writes, and unmounts, by way of fusermount3, which is setuid.
//
// Method: as on a machine with udev, anyone may open /dev/fuse; for this test's processes alone.
TEST_F(MountOptions, AreForOrdinaryUsersToo) {
  const Finished token = stage_.cofferd({"invite", "nobodys"});
  ASSERT_EQ(token.exit_code, 0) << token.err;
  const testing::TempDir own;
  const Finished finished =
      testing::shell("export HOME=" + own.path().string() + " T=" + token.out.substr(0, token.out.find('\n')) + "\n" +
                     "cp " + testing::bin_folder() + "/coffer $HOME/\n" + R"(
      chown nobody $HOME $HOME/coffer
      mknod -m 666 $HOME/fuse c 10 229
      export HOME T
      exec unshare -m bash -e -c 'mount --bind $HOME/fuse /dev/fuse; exec setpriv --reuid nobody --regid nogroup --clear-groups bash -e' <<'END'
      cd $HOME; mkdir mnt
      ./coffer enroll $T --key-file key >/dev/null
      ./coffer mount mnt
      echo text > mnt/file; stat -c '%U %F' mnt mnt/file; grep $HOME/mnt /proc/self/mounts
      ./coffer sync mnt; ./coffer umount mnt
      ./coffer mount mnt; cat mnt/file; fusermount3 -u mnt
      mkdir broken; printf '#!/bin/sh\nif [ "$1" = -u ]; then echo "fusermount3: is broken" >&2; exit 1; fi\nexec /usr/bin/fusermount3 "$@"\n' > broken/fusermount3
      chmod +x broken/fusermount3
      PATH=$PWD/broken:$PATH ./coffer mount mnt
      ./coffer umount mnt 2>&1 | cat; fusermount3 -u mnt
      ./coffer mount mnt -o allow_other || echo refused with $?
END
)");
  EXPECT_TRUE(succeeded(finished));
  EXPECT_THAT(finished.out, HasSubstr("nobody regular file\n"));
  EXPECT_THAT(finished.out, HasSubstr("fuse.coffer rw,nosuid,nodev,"));
  EXPECT_THAT(finished.out, HasSubstr("text\n"));
  EXPECT_THAT(finished.out, HasSubstr("/mnt cannot be unmounted: fusermount3: is broken\n"));
  if (finished.out.find("refused") != std::string::npos) {
    EXPECT_THAT(finished.err, HasSubstr("user_allow_other"));
  }
}

}  // namespace
}  // namespace coffer::cli
