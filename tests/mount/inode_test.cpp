// Times of access, inodes that are known by number, and what stat(2) shows by the mount's options.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <sys/stat.h>

#include <cerrno>
#include <cstddef>
#include <filesystem>
#include <fstream>
#include <utility>
#include <vector>

#include "tests/mount/side_by_side.h"

namespace coffer {
namespace {

class AnInode : public SideBySide {
 protected:
  std::string at(const std::string& name) const { return mounted() + "/" + name; }
  void mount_with(files::FileSystemOptions files, const ops::Shown& shown = {}) {
    mount({.fuse = {"allow_other"}, .files = files, .shown = shown});
  }
};

// `check NAME COMMAND` says whether the command changed the atime of NAME.
constexpr char kCheck[] = R"sh(
  check() { sleep 0.01; n=$1; shift; b=$(stat -c %x $n); "$@" >/dev/null; [ "$b" = "$(stat -c %x $n)" ] && echo -n "- " || echo -n "$n ";
}
)sh";

// Claim: also where the kernel answers reads from the pages that were just written, and nobody asks the daemon.
TEST_F(AnInode, IsReadOnceAfterEachChangeAndOnceADay) {
  EXPECT_EQ(output(mounted(), std::string(kCheck) + R"sh(
    echo text > f; check f cat f; check f cat f; echo more >> f; check f cat f; check f cat f
    touch -a -d 2001-01-01 f; check f cat f; chmod 600 f; check f cat f; check f stat f; check f true
    echo 3 > /proc/sys/vm/drop_caches; touch -a -d 'now - 25 hours' f; check f cat f; check f cat f
    touch -a -d 2001-01-01 f; check f dd if=f of=/dev/null iflag=noatime status=none; check f getfattr -n user.coffer.sha256 f
    check f sync .coffer/barrier; check f sh -c 'echo x >> f'; check f cat f
    mkdir d; check d ls d; check d ls d; touch d/x; check d ls d; check d stat d/x; ln -s f l; check l readlink l
    touch -a -d 'now - 25 hours' d; check d ls d; check d ls d
  )sh"),
            "f - f - f f - - f - - - - - f d - d - l d - ");
}

TEST_F(AnInode, KeepsATimeThatIsSetWhileItIsOpen) {
  EXPECT_EQ(output(mounted(), R"sh(
    mkdir in; echo text > in/f; touch -d @1000000000 in/f; tar --atime-preserve=replace -cf /dev/null in
    stat -c %X in/f; python3 -c 'import os; f = os.open("in/f", os.O_RDONLY); os.read(f, 4); os.utime(f, (7, 8)); os.close(f)'
    stat -c '%X %Y' in/f; cat in/f >/dev/null; [ $(stat -c %X in/f) -gt 1000000000 ] && echo read
  )sh"),
            "1000000000\n7 8\nread\n");
}

TEST_F(AnInode, IsReadAsTheMountOptionsSay) {
  const std::string reads =
      std::string(kCheck) + "rm -rf f d; echo x > f; mkdir d; check f cat f; check f cat f; check d ls d; check d ls d";
  files::FileSystemOptions options;
  options.atimes = files::Atimes::none;
  mount_with(options);
  EXPECT_EQ(output(mounted(), reads), "- - - - ");
  options.atimes = files::Atimes::always;
  mount_with(options);
  EXPECT_EQ(output(mounted(), reads), "f f d d ");
  options.folder_atimes = false;
  mount_with(options);
  EXPECT_EQ(output(mounted(), reads), "f f - - ");
}

TEST_F(AnInode, ShowsTheOwnerAndModeThatTheMountWasAskedToShow) {
  output(mounted(), "echo text > f; mkdir d; ln -s f l; chmod 640 f");
  mount_with({}, {.uid = 1234, .gid = 2345, .umask = 027});
  EXPECT_EQ(output(mounted(), "stat -c '%n %u %g %a %F' f d .; ls -ln d | head -1; ls -ln f | cut -d' ' -f1-4"),
            "f 1234 2345 750 regular file\nd 1234 2345 750 directory\n. 1234 2345 750 directory\ntotal 0\n"
            "-rwxr-x--- 1 1234 2345\n");
  mount_with({});
  EXPECT_EQ(output(mounted(), "stat -c '%n %a' f d"), "f 640\nd 755\n");
}

// Claim: with allow_other, what names paths and folders of the one who mounted is read by no other user, whatever the
// mount shows of files.
TEST_F(AnInode, OfOursIsNotForTheOtherUsersThatAreLetIn) {
  for (const ops::Shown& shown : {ops::Shown{}, ops::Shown{.uid = {}, .gid = {}, .umask = 0}}) {
    mount_with({}, shown);
    output(mounted(), "echo text > f; chmod 644 f");
    ASSERT_EQ(::chmod(mounted().c_str(), 0755), 0);
    EXPECT_EQ(output(mounted(), R"sh(
      other() { setpriv --reuid 65534 --regid 65534 --clear-groups "$@" 2>&1 | sed 's/.*: //'; }
      other cat f; other cat .coffer/status; other sync .coffer/barrier
      head -c 1 .coffer/status; sync .coffer/barrier && echo synced
    )sh"),
              "text\nPermission denied\nPermission denied\n{synced\n");
  }
}

// Claim: of two changes the later one has no earlier time, whether the kernel or the daemon says it.
TEST_F(AnInode, IsNeverOlderWhenItIsWrittenThanWhenItWasMade) {
  for (int i = 0; i < 200; ++i) {
    const int fd = ::open(at("file").c_str(), O_RDWR | O_CREAT, 0644);
    struct stat made {
    }, written{};
    ASSERT_EQ(::fstat(fd, &made), 0);
    ASSERT_EQ(::write(fd, "x", 1), 1);
    ASSERT_EQ(::fstat(fd, &written), 0);
    ::close(fd);
    EXPECT_GE(std::pair(written.st_mtim.tv_sec, written.st_mtim.tv_nsec),
              std::pair(made.st_mtim.tv_sec, made.st_mtim.tv_nsec));
    std::filesystem::remove(at("file"));
  }
}

// ---- known by number ---------------------------------------------------------------------------------------------

struct Known {
  alignas(file_handle) std::byte bytes[sizeof(file_handle) + MAX_HANDLE_SZ] = {};
  file_handle* get() { return reinterpret_cast<file_handle*>(bytes); }
};

Known handle_of(const std::string& path) {
  Known known;
  known.get()->handle_bytes = MAX_HANDLE_SZ;
  int mount_id = 0;
  EXPECT_EQ(::name_to_handle_at(AT_FDCWD, path.c_str(), known.get(), &mount_id, 0), 0) << path << " errno " << errno;
  return known;
}

/// What an NFS client has of a file, from before the server's mount was made anew, still leads to it.
TEST_F(AnInode, IsFoundByItsHandleAfterARemount) {
  if (::getuid() != 0) GTEST_SKIP() << "handles are for root to open";
  output(mounted(), "mkdir -p a/b/c; echo text > a/b/c/file; touch a/gone; ln -s nowhere a/link");
  Known file = handle_of(at("a/b/c/file"));
  Known folder = handle_of(at("a/b/c"));
  Known gone = handle_of(at("a/gone"));
  std::filesystem::remove(at("a/gone"));
  mount();
  const int root = ::open(mounted().c_str(), O_RDONLY | O_DIRECTORY);

  const int opened = ::open_by_handle_at(root, file.get(), O_RDONLY);
  char text[8] = {};
  EXPECT_EQ(::read(opened, text, sizeof(text)), 5) << "errno " << errno;
  EXPECT_STREQ(text, "text\n");
  ::close(opened);

  const int found = ::open_by_handle_at(root, folder.get(), O_RDONLY | O_DIRECTORY);
  ASSERT_GE(found, 0) << "errno " << errno;
  EXPECT_EQ(std::filesystem::read_symlink("/proc/self/fd/" + std::to_string(found)), at("a/b/c"));
  ::close(found);

  EXPECT_EQ(::open_by_handle_at(root, gone.get(), O_RDONLY), -1);
  EXPECT_EQ(errno, ESTALE);
  ::close(root);
}

TEST_F(AnInode, KeepsItsNumberOverARemountAndIsNeverAnother) {
  const std::string numbers = "stat -c '%n %i' . a a/* | sort";
  output(mounted(), "mkdir a; touch a/x a/y; ln a/x a/z");
  const std::string before = output(mounted(), numbers);
  const std::string dead = output(mounted(), "touch a/dead; stat -c %i a/dead; rm a/dead");
  mount();
  EXPECT_EQ(output(mounted(), numbers), before);
  EXPECT_NE(output(mounted(), "touch a/new; stat -c %i a/new"), dead);
}

}  // namespace
}  // namespace coffer
