// POSIX ACLs, as setfacl and getfacl show them beside a local disk's.
#include <gmock/gmock.h>

#include "tests/mount/side_by_side.h"

namespace coffer {
namespace {

class AnAcl : public SideBySide {
 protected:
  void SetUp() override {
    SideBySide::SetUp();
    if (IsSkipped()) return;
    if (output(plain(), "touch t && setfacl -m u:1:r t && echo fine; rm -f t") != "fine\n") {
      GTEST_SKIP() << "no ACLs in the folder to compare with";
    }
  }
  void as_root() {
    if (::getuid() != 0) GTEST_SKIP() << "other users' rights are for root to try";
  }
};

TEST_F(AnAcl, KeepsMaskAndModeInStep) {
  expect_same(R"sh(
    show() { echo "-- $1"; stat -c %a f; getfacl -n f; }
    touch f; setfacl -m u:1000:rw,u:999:-,g:2000:rwx f; show set
    chmod 640 f; show chmod; chmod g=rwx f; show group; chmod 4751 f; show suid
    setfacl -m m::r f; show mask; setfacl -n -m u:7:rwx f; show narrow
    setfacl -x u:1000,u:7 f; show less; setfacl -m g::rw,o::w f; show classes; setfacl -b f; show none
    getfattr -d -m - f; setfacl -m u::rwx,g::r,o::r f; show minimal; getfattr -m - f
  )sh");
}

TEST_F(AnAcl, IsInheritedFromTheFoldersDefault) {
  expect_same(R"sh(
    mkdir d; setfacl -d -m u:1000:rwx,g:2000:rx,g::rwx,o::- d; umask 077
    touch d/file; mkdir d/folder d/folder/deep; mkfifo d/pipe; ln -s file d/link; install -m 4711 /bin/true d/program
    mknod d/node p -m 604; (umask 0; touch d/open; mkdir -m 1777 d/sticky)
    python3 -c 'import os; os.close(os.open("d/made", os.O_CREAT | os.O_WRONLY, 0o604))'
    cp /etc/hostname d/copy; find d -not -type l | sort | while read f; do stat -c '%n %A' $f; getfacl -n $f; done
    mkdir m; setfacl -d -m u::rx,g::r,o::r m; touch m/file; mkdir m/folder; getfacl -n m m/file m/folder; getfattr -m - m/*
    setfacl -k d; umask 027; touch d/later; mkdir d/after; getfacl -n d d/later d/after
  )sh");
}

TEST_F(AnAcl, IsRefusedWhereItHasNoMeaning) {
  expect_same(R"sh(
    touch f; mkdir d; ln -s f l
    setfacl -d -m u:1:r f; setfattr -n system.posix_acl_access -v 0x0200000001000700ffffffff f
    setfattr -n system.posix_acl_access -v 0x01 f; setfattr -n system.posix_acl_access -v 0x0300000001000700ffffffff f
    setfattr -h -n system.posix_acl_access -v 0x0200000001000700ffffffff04000700ffffffff20000700ffffffff l
    setfattr -x system.posix_acl_access f; echo $?; setfattr -x system.posix_acl_default d; echo $?
    getfattr -n system.posix_acl_access f; setfattr -n system.other -v x f; getfattr -n system.other f
    setfacl -m u:1:r d; setfattr -x system.posix_acl_access d; stat -c %a d; getfacl -n d
  )sh");
}

TEST_F(AnAcl, IsWhatTheKernelChecksBy) {
  as_root();
  expect_same(R"sh(
    as() { setpriv --reuid $1 --regid $2 --clear-groups bash -c "$3" && echo yes || echo no; }
    echo text > f; chmod 600 f; mkdir -m 700 d; touch d/x
    as 1000 1000 'cat f'; setfacl -m u:1000:r f; as 1000 1000 'cat f'; as 1000 1000 'echo more >> f'; as 1001 1001 'cat f'
    setfacl -m g:1001:rw f; as 1001 1001 'echo more >> f'; chmod g=r f; as 1001 1001 'echo more >> f'; as 1001 1001 'cat f'
    setfacl -m u:1000:- f; as 1000 1001 'cat f'; setfacl -m u:1000:x d; as 1000 1000 'stat -c %n d/x'; as 1000 1000 'ls d'
    setfacl -m u:1000:rwx d; as 1000 1000 'touch d/new; ls d'; as 1000 1000 'setfacl -m u:1:r f'; as 1000 1000 'setfacl -m u:1:r d/new'
  )sh");
}

TEST_F(AnAcl, TakesTheSetgidBitFromWhoIsNotInTheGroup) {
  as_root();
  expect_same(R"sh(
    for groups in --clear-groups --groups=3000; do
      touch f; chown 1000:3000 f; chmod 2775 f
      setpriv --reuid 1000 --regid 1000 $groups setfacl -m u:5:r f; stat -c %a f; rm f
    done
    touch f; chown 1000:3000 f; chmod 2775 f; setfacl -m u:5:r f; stat -c %a f
  )sh");
}

TEST_F(AnAcl, OutlivesTheMount) {
  const std::string make = "mkdir d; setfacl -m u:1000:rwx,d:g:2000:rx d; touch d/f; setfacl -m u:1:r d/f; echo made";
  EXPECT_EQ(output(plain(), make), output(mounted(), make));
  mount();
  EXPECT_EQ(output(mounted(), "getfacl -nR ."), output(plain(), "getfacl -nR ."));
  EXPECT_THAT(output(mounted(), "getfacl -nR ."), ::testing::HasSubstr("user:1000:rwx"));
}

TEST_F(AnAcl, IsCopiedByCpRsyncAndTar) {
  expect_same(R"sh(
    mkdir s; setfacl -m u:1000:rwx,d:g:2000:rx s; touch s/f; setfacl -m u:1:r,m::rw s/f
    cp -a s copy; rsync -aAX s/ synced/; tar --acls -cf - s | (mkdir out; cd out; tar --acls -xpf -)
    getfacl -nR copy synced out; rsync -aAXi s/ synced/
  )sh");
}

}  // namespace
}  // namespace coffer
