// What people do with a folder every day, by the programs they do it with.
#include <gtest/gtest.h>

#include <string>

#include "tests/testing/command.h"
#include "tests/testing/stage.h"
#include "tests/testing/temp_dir.h"
#include "tests/testing/vault/local_mount.h"

namespace coffer {
namespace {

using testing::Finished;
using testing::LocalMount;
using testing::TempDir;

class AMount : public ::testing::Test {
 protected:
  void SetUp() override {
    if (!testing::can_mount()) GTEST_SKIP() << "no /dev/fuse here";
    mount_ = std::make_unique<LocalMount>(vault_folder());
  }

  std::string vault_folder() const { return (folder_ / "vault").string(); }
  std::string beside() const { return folder_.path().string(); }
  LocalMount& mount() { return *mount_; }
  void remount() {
    mount_.reset();
    mount_ = std::make_unique<LocalMount>(vault_folder());
  }

  /// Runs `script` with M, the mount, and D, a folder beside it.
  void run(const std::string& script) {
    const Finished finished = testing::shell("export M='" + mount().path() + "' D='" + beside() + "' HOME='" +
                                             beside() + "'; set -u; " + script);
    EXPECT_EQ(finished.exit_code, 0) << script << "\n" << finished.out << finished.err;
  }
  std::string output(const std::string& script) {
    const Finished finished = testing::shell("export M='" + mount().path() + "' D='" + beside() + "'; " + script);
    EXPECT_EQ(finished.exit_code, 0) << script << "\n" << finished.out << finished.err;
    return finished.out;
  }

 private:
  TempDir folder_;
  std::unique_ptr<LocalMount> mount_;
};

/// A tree with all that a tree can have.
constexpr char kMakeSource[] = R"sh(
  mkdir -p $D/src/a/b/c $D/src/empty; cd $D/src
  for i in $(seq 60); do head -c $((i * 397)) /dev/urandom > a/file$i; done
  head -c 3000000 /dev/urandom > a/b/large
  : > a/none
  ln -s ../file1 a/b/link; ln -s /nowhere/at/all dangling; ln a/file2 a/b/c/hard; ln a/file2 hard
  mkfifo pipe; truncate -s 5M sparse; echo x | dd of=sparse bs=1 seek=2000000 conv=notrunc status=none
  touch "$(printf 'n%.0s' $(seq 255))" ' space' $'new\nline' $'\xff\xfe'
  chmod 4755 a/file3; chmod 2755 a/b; chmod 1777 a/b/c; chmod 000 a/file4
  setfattr -n user.note -v something a/file5 2>/dev/null || true
  touch -d '2001-02-03 04:05:06.123456789' a/file6; touch -d '1969-01-01 00:00:00.000000001' a/file7
  touch -h -d '2011-11-11 11:11:11.111111111' dangling; touch -d '2002-02-02 02:02:02.020202020' a/b/c
)sh";

TEST_F(AMount, KeepsEverythingThatCpACopiesAndShowsItAfterARemount) {
  run(kMakeSource);
  run("cp -a $D/src $M/copy && diff -r --no-dereference $D/src/a $M/copy/a");
  EXPECT_EQ(testing::listing(beside() + "/src"), testing::listing(mount() / "copy"));
  remount();
  EXPECT_EQ(testing::listing(beside() + "/src"), testing::listing(mount() / "copy"));
}

TEST_F(AMount, GivesRsyncNothingToDoTheSecondTime) {
  run(kMakeSource);
  run("rsync -aHAX -@-1 $D/src/ $M/copy/");
  EXPECT_EQ(output("rsync -aHAXi -@-1 $D/src/ $M/copy/"), "");
  remount();
  EXPECT_EQ(output("rsync -aHAXi -@-1 $D/src/ $M/copy/"), "");
  EXPECT_EQ(testing::listing(beside() + "/src"), testing::listing(mount() / "copy"));
}

TEST_F(AMount, UnpacksAndPacksWithTar) {
  run(kMakeSource);
  run("cd $D && tar --xattrs -cf src.tar src && tar --xattrs -xpf src.tar -C $M");
  EXPECT_EQ(testing::listing(beside() + "/src"), testing::listing(mount() / "src"));
  run("mkdir $D/out && cd $M && tar --xattrs --sparse -cf $D/back.tar src && tar --xattrs -xpf $D/back.tar -C $D/out");
  EXPECT_EQ(testing::listing(beside() + "/src"), testing::listing(beside() + "/out/src"));
}

TEST_F(AMount, HoldsAGitRepository) {
  run(R"(
    cd $M && git init -q repository && cd repository
    git config user.email a@b.c && git config user.name n
    for i in $(seq 30); do seq $i 500 > file$i; done
    git add . && git commit -qm one
    for i in $(seq 10); do echo $i >> file$i; git commit -qam "change $i"; done
    git mv file1 moved && git rm -q file2 && git commit -qm two
    git gc -q --prune=now && git fsck --strict --full && git status --porcelain > $D/status && test ! -s $D/status
    git clone -q . $D/clone && diff -r --exclude=.git . $D/clone
  )");
}

TEST_F(AMount, IsEmptiedByRmRf) {
  run("cp -a /usr/include/linux $M/a && cp -a $M/a $M/b && rm -rf $M/a && diff -r /usr/include/linux $M/b && rm -rf "
      "$M/b");
  EXPECT_EQ(output("ls -A $M"), "");
}

TEST_F(AMount, RunsDatabasesAndEditors) {
  run(R"(
    cd $M
    python3 - <<'END'
import sqlite3
for mode in ('delete', 'wal'):
    db = sqlite3.connect('base-' + mode); db.execute('pragma journal_mode=' + mode)
    db.execute('create table t (a integer primary key, b text)')
    for i in range(200):
        db.execute('insert into t (b) values (?)', ('x' * i,))
        if i % 20 == 0: db.commit()
    db.commit(); db.close()
    db = sqlite3.connect('base-' + mode)
    assert db.execute('select count(*), sum(length(b)) from t').fetchone() == (200, 19900)
    assert db.execute('pragma integrity_check').fetchone() == ('ok',); db.close()
END
    echo one > text; sed -i s/one/two/ text; grep -q two text
    echo three > .text.new; mv .text.new text; grep -q three text
  )");
}

TEST_F(AMount, RunsProgramsThatLieInIt) {
  run("cp /bin/true $M/program && $M/program && cp $M/program $M/other && $M/other");
}

TEST_F(AMount, ShowsStatusAndKeepsItsFolderHidden) {
  EXPECT_EQ(output("ls -A $M"), "");
  EXPECT_EQ(output("ls $M/.coffer"), "barrier\nstatus\n");
  EXPECT_EQ(output("cat $M/.coffer/status"), "{\"server\":\"none\"}\n");
  run("! rmdir $M/.coffer && ! touch $M/.coffer/new && ! mv $M/.coffer $M/x && ! mkdir $M/.coffer && rm -rf $M/*");
}

}  // namespace
}  // namespace coffer
