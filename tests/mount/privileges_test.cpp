// suid, sgid and security.capability, and who takes them away, beside a local disk.
#include "tests/mount/side_by_side.h"

namespace coffer {
namespace {

class Privileges : public SideBySide {
 protected:
  void SetUp() override {
    SideBySide::SetUp();
    if (::getuid() != 0) GTEST_SKIP() << "other users' rights are for root to try";
  }
  /// Runs `calls`, Python that defines functions of a path, each on a file of each mode as root and as its owner, and
  /// prints what is left of the mode while it is open, after it, and after it was asked for by another path.
  static std::string each_of(const std::string& calls) {
    return R"sh(python3 - <<'END'
import mmap, os, inspect
)sh" + calls +
           R"sh(
mine = [f for n, f in sorted(globals().items()) if inspect.isfunction(f)]
for call in mine:
    for mode in 0o4755, 0o2755, 0o6777, 0o2745, 0o6745:
        for user in 0, 1000:
            fd = os.open('p', os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o600)
            os.write(fd, b'x' * 5000); os.fchown(fd, 1000, 1000); os.fchmod(fd, mode); os.close(fd)
            open('from', 'w').write('y' * 5000)
            if os.fork() == 0:
                os.setgroups([]); os.setresgid(user, user, user); os.setresuid(user, user, user)
                call('p'); os._exit(0)
            os.wait(); print(call.__name__, oct(mode), user, oct(os.stat('p').st_mode), flush=True)
            os.unlink('p')
END
)sh";
  }
};

TEST_F(Privileges, GoWithContentThatWhoeverIsNotPrivilegedChanges) {
  expect_same(each_of(R"py(
def write(path): fd = os.open(path, os.O_WRONLY); os.write(fd, b'y'); print(oct(os.fstat(fd).st_mode)); os.close(fd)
def append(path): fd = os.open(path, os.O_WRONLY | os.O_APPEND); os.write(fd, b'y' * 9000); os.close(fd)
def write_twice(path):
    fd = os.open(path, os.O_RDWR); os.write(fd, b'y'); os.pwrite(fd, b'z', 70000); print(oct(os.fstat(fd).st_mode)); os.close(fd)
def sync_write(path): fd = os.open(path, os.O_WRONLY | os.O_DSYNC); os.write(fd, b'y'); os.close(fd)
def shorten(path): os.truncate(path, 10)
def lengthen(path): fd = os.open(path, os.O_RDWR); os.ftruncate(fd, 100000); print(oct(os.fstat(fd).st_mode)); os.close(fd)
def open_truncating(path): os.close(os.open(path, os.O_WRONLY | os.O_TRUNC))
)py"));
}

TEST_F(Privileges, StayWhereContentStays) {
  expect_same(each_of(R"py(
def read(path): fd = os.open(path, os.O_RDONLY); os.read(fd, 10) if os.access(path, os.R_OK) else 0; os.close(fd)
def open_to_write(path): os.close(os.open(path, os.O_RDWR))
def set_times(path): os.utime(path, (1, 2))
def write_nothing(path): fd = os.open(path, os.O_WRONLY); os.write(fd, b''); os.close(fd)
)py"));
}

TEST_F(Privileges, GoWithChownWhoeverCallsIt) {
  expect_same(each_of(R"py(
def chown_same(path): os.chown(path, 1000, 1000)
def chown_nothing(path): os.chown(path, -1, -1) if os.getuid() != 0 else None
def chown_group(path): os.chown(path, -1, 1000)
def chmod_after(path): os.chown(path, 1000, 1000); os.chmod(path, 0o6755)
)py"));
  expect_same("mkdir -m 6755 d; chown 1000:1000 d; stat -c %A d; chown 7 d; stat -c %A d");
}

// A local disk is no measure here: not all of them clear what fallocate(2) and copy_file_range(2) change.
TEST_F(Privileges, GoWithRangesThatAUserChanges) {
  const std::string calls = R"py(
def allocate(path): fd = os.open(path, os.O_RDWR); os.posix_fallocate(fd, 0, 50000); os.close(fd)
def copy_range(path):
    fd = os.open(path, os.O_RDWR); src = os.open('from', os.O_RDONLY); os.copy_file_range(src, fd, 5000); os.close(fd)
)py";
  const std::string found = output(mounted(), each_of(calls));
  for (const char* call : {"allocate", "copy_range"}) {
    EXPECT_NE(found.find(std::string(call) + " 0o6777 0 0o106777"), std::string::npos) << "root keeps them\n" << found;
    EXPECT_NE(found.find(std::string(call) + " 0o6777 1000 0o100777"), std::string::npos) << found;
    EXPECT_NE(found.find(std::string(call) + " 0o2745 1000 0o102745"), std::string::npos) << found;
  }
}

TEST_F(Privileges, OfAProgramsCapabilitiesGoWithItsContent) {
  if (output(plain(),
             "touch t; setfattr -n security.capability -v 0x0100000200040000000000000000000000000000 t && "
             "echo fine; rm t") != "fine\n") {
    GTEST_SKIP() << "no capabilities in the folder to compare with";
  }
  expect_same(R"sh(
    cap() { setfattr -n security.capability -v 0x0100000200040000000000000000000000000000 f; }
    show() { echo "-- $1"; getfattr -e hex -n security.capability f; }
    echo content >f; show none; cap; show set; echo more >>f; show written; echo more >>f; cap; show again
    truncate -s 3 f; show truncated; cap; chown 1000 f; show chowned; cap; chmod 700 f; show chmod; cat f >/dev/null; show read
  )sh");
}

}  // namespace
}  // namespace coffer
