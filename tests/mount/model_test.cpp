// A plain folder of this machine says what is right: the same random system calls go to it and to a mount, and after
// each the two are compared whole, as any program would see them.
//
// COFFER_SEED=N runs that seed alone, COFFER_LONG=N runs N seeds of many steps.
#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <functional>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "common/base/bytes.h"
#include "tests/mount/side_by_side.h"
#include "tests/testing/seeded_random.h"

namespace coffer {
namespace {

constexpr std::array kNames = {"a", "b", "c", "d", "\xff\n"};
constexpr std::array kXattrs = {"user.one", "user.two", "security.three", "system.posix_acl_access",
                                "system.posix_acl_default"};
/// Times before it were set, and must be the same; later ones are of two clocks.
constexpr time_t kSetBefore = 1'000'000'000;

class Model : public SideBySide {
 protected:
  struct Side {
    std::string root;
    int folder = -1;
    std::vector<int> files;
    std::string at(const std::string& path) const { return path.empty() ? root : root + "/" + path; }
  };

  void run(unsigned seed, int steps) {
    random_ = std::make_unique<testing::SeededRandom>(seed);
    begin(plain_side_, plain());
    begin(mount_side_, mounted());
    for (int step = 0; step < steps && !HasFailure(); ++step) {
      this->step();
      SCOPED_TRACE(::testing::Message() << "seed " << seed << ", step " << step << ": " << last_);
      compare("");
      compare_files();
    }
    for (const Side* side : {&plain_side_, &mount_side_}) end(*side);
  }

 private:
  static void begin(Side& side, const std::string& root) {
    side = {.root = root, .folder = ::open(root.c_str(), O_RDONLY | O_DIRECTORY), .files = {}};
    EXPECT_EQ(::fchmod(side.folder, 0755), 0);
  }
  static void end(const Side& side) {
    for (const int file : side.files) ::close(file);
    ::close(side.folder);
    for (const auto& entry : std::filesystem::directory_iterator(side.root)) std::filesystem::remove_all(entry.path());
  }

  std::size_t below(std::size_t end) { return static_cast<std::size_t>(random_->below(end)); }

  /// A path whose folder exists more often than not.
  std::string path() {
    std::string path;
    for (std::size_t depth = 1 + below(3); depth > 0; --depth) {
      path += (path.empty() ? "" : "/") + std::string(kNames[below(kNames.size())]);
      struct stat st {};
      if (::lstat(plain_side_.at(path).c_str(), &st) != 0 || !S_ISDIR(st.st_mode)) break;
    }
    return path;
  }

  /// The same call on both sides, which must have the same result.
  long both(const std::string& what, const std::function<long(Side&)>& call) {
    const auto on = [&](Side& side) {
      errno = 0;
      const long result = call(side);
      return std::pair(result, result < 0 ? errno : 0);
    };
    const auto right = on(plain_side_);
    last_ = what + " = " + std::to_string(right.first) + " errno " + std::to_string(right.second);
    EXPECT_EQ(on(mount_side_), right) << what;
    return right.first;
  }

  void step() {
    const std::size_t kind = below(100);
    if (kind < 40) return step_names(kind);
    if (kind < 60) return step_attributes(kind);
    return step_content(kind);
  }

  void step_names(std::size_t kind) {
    const std::string a = path(), b = path();
    const mode_t mode = static_cast<mode_t>(below(2) == 0 ? 0644 : below(010000) & ~06000u) | 0400;
    if (kind < 8) {
      const int flags = O_RDWR | O_CREAT | (below(3) == 0 ? O_TRUNC : 0) | (below(4) == 0 ? O_EXCL : 0) |
                        (below(4) == 0 ? O_APPEND : 0) | O_NOFOLLOW | O_NONBLOCK;
      const bool is_new = plain_side_.files.size() < 6;
      both("open " + a + " " + std::to_string(flags), [&](Side& side) -> long {
        const int fd = ::openat(side.folder, a.c_str(), flags, mode);
        struct stat st {};
        const bool is_file = fd >= 0 && ::fstat(fd, &st) == 0 && S_ISREG(st.st_mode);
        if (is_file && is_new) {
          side.files.push_back(fd);
        } else if (fd >= 0 && ::close(fd) != 0) {
          return -1;
        }
        return fd < 0 ? -1 : 0;
      });
    } else if (kind < 13) {
      both("mkdir " + a, [&](Side& side) { return ::mkdirat(side.folder, a.c_str(), mode | 0700); });
    } else if (kind < 15) {
      both("symlink " + b + " " + a, [&](Side& side) { return ::symlinkat(b.c_str(), side.folder, a.c_str()); });
    } else if (kind < 17) {
      const mode_t type = std::array{S_IFIFO, S_IFSOCK, S_IFREG}[below(3)];
      both("mknod " + a, [&](Side& side) { return ::mknodat(side.folder, a.c_str(), type | mode, 0); });
    } else if (kind < 20) {
      both("link " + a + " " + b,
           [&](Side& side) { return ::linkat(side.folder, a.c_str(), side.folder, b.c_str(), 0); });
    } else if (kind < 26) {
      const int flags = below(3) == 0 ? AT_REMOVEDIR : 0;
      both("unlink " + a + " " + std::to_string(flags),
           [&](Side& side) { return ::unlinkat(side.folder, a.c_str(), flags); });
    } else {
      const unsigned flags = below(4) == 0 ? 1 + static_cast<unsigned>(below(3)) : 0;
      both("rename " + a + " " + b + " " + std::to_string(flags),
           [&](Side& side) { return ::renameat2(side.folder, a.c_str(), side.folder, b.c_str(), flags); });
    }
  }

  void step_attributes(std::size_t kind) {
    const std::string a = path();
    if (kind < 43) {
      const auto mode = static_cast<mode_t>(below(010000));
      both("chmod " + a, [&](Side& side) { return ::fchmodat(side.folder, a.c_str(), mode, 0); });
    } else if (kind < 46) {
      const auto uid = static_cast<uid_t>(below(3)) - 1;
      auto gid = static_cast<gid_t>(below(3)) - 1;
      if (uid == uid_t(-1) && gid == gid_t(-1)) gid = 0;  // chown(2) of nothing by root is in fs/POSIX.md.
      both("chown " + a, [&](Side& side) { return ::fchownat(side.folder, a.c_str(), uid, gid, AT_SYMLINK_NOFOLLOW); });
    } else if (kind < 50) {
      const timespec times[2] = {{.tv_sec = static_cast<time_t>(below(1'000'000)) - 500'000,
                                  .tv_nsec = static_cast<long>(below(1'000'000'000))},
                                 {.tv_sec = static_cast<time_t>(below(1'000'000)),
                                  .tv_nsec = static_cast<long>(below(2)) == 0 ? UTIME_OMIT : 5}};
      both("utimens " + a, [&](Side& side) { return ::utimensat(side.folder, a.c_str(), times, AT_SYMLINK_NOFOLLOW); });
    } else if (kind < 53) {
      const auto bytes = static_cast<off_t>(below(300'000));
      both("truncate " + a, [&](Side& side) { return ::truncate(side.at(a).c_str(), bytes); });
    } else {
      const std::string name = kXattrs[below(kXattrs.size())];
      const std::string value = name.starts_with("system.") ? acl() : std::string(below(300), 'v');
      const int flags = static_cast<int>(below(3));
      if (below(4) == 0) {
        both("removexattr " + name + " " + a,
             [&](Side& side) { return ::lremovexattr(side.at(a).c_str(), name.c_str()); });
      } else {
        both("setxattr " + name + " " + a, [&](Side& side) {
          return ::lsetxattr(side.at(a).c_str(), name.c_str(), value.data(), value.size(), flags);
        });
      }
    }
  }

  /// One with a named user and a mask, or one that a mode can say, or none at all.
  std::string acl() {
    Bytes value;
    Writer writer(value);
    const auto put = [&](std::uint16_t tag, std::uint32_t id) {
      writer.put(tag);
      writer.put(static_cast<std::uint16_t>(below(8)));
      writer.put(id);
    };
    constexpr std::uint32_t kNoId = ~std::uint32_t{0};
    const bool is_extended = below(3) > 0;
    writer.put(std::uint32_t{2});
    put(1, kNoId);
    if (is_extended) put(2, 1000);
    put(4, kNoId);
    if (is_extended) put(16, kNoId);
    if (below(10) > 0) put(32, kNoId);
    return std::string(as_text(value));
  }

  void step_content(std::size_t kind) {
    if (plain_side_.files.empty()) return step_names(0);
    const std::size_t one = below(plain_side_.files.size());
    const std::size_t two = below(plain_side_.files.size());
    const auto at = static_cast<off_t>(below(4) == 0 ? below(300) : below(300'000));
    const std::size_t bytes = 1 + (below(3) == 0 ? below(100'000) : below(5000));
    const std::string where = std::to_string(one) + " at " + std::to_string(at) + " bytes " + std::to_string(bytes);
    if (kind < 72) {
      std::string text(bytes, static_cast<char>('a' + below(26)));
      if (below(2) == 0) text = as_text(random_->bytes(bytes));
      both("write " + where, [&](Side& side) { return ::pwrite(side.files[one], text.data(), text.size(), at); });
    } else if (kind < 76) {
      both("read " + where, [&](Side& side) {
        std::string text(bytes, '\0');
        const ssize_t count = ::pread(side.files[one], text.data(), bytes, at);
        return count < 0
                   ? -1
                   : static_cast<long>(std::hash<std::string>()(text.substr(0, static_cast<std::size_t>(count))) >> 1);
      });
    } else if (kind < 80) {
      both("ftruncate " + where, [&](Side& side) { return ::ftruncate(side.files[one], at); });
    } else if (kind < 85) {
      static constexpr std::array kModes = {0, FALLOC_FL_KEEP_SIZE, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
                                            FALLOC_FL_ZERO_RANGE, FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE};
      const int mode = kModes[below(kModes.size())];
      both("fallocate " + std::to_string(mode) + " " + where,
           [&](Side& side) { return ::fallocate(side.files[one], mode, at, static_cast<off_t>(bytes)); });
    } else if (kind < 90) {
      const auto to = static_cast<off_t>(below(300'000));
      both("copy to " + std::to_string(two) + " at " + std::to_string(to) + " from " + where, [&](Side& side) {
        off_t from_at = at, to_at = to;
        return ::copy_file_range(side.files[one], &from_at, side.files[two], &to_at, bytes, 0);
      });
    } else if (kind < 93) {
      both("fsync " + where,
           [&](Side& side) { return kind == 90 ? ::fdatasync(side.files[one]) : ::fsync(side.files[one]); });
    } else if (kind < 95) {
      mount_anew();
    } else {
      both("close " + std::to_string(one), [&](Side& side) {
        const int fd = side.files[one];
        side.files.erase(side.files.begin() + static_cast<std::ptrdiff_t>(one));
        return ::close(fd);
      });
    }
  }

  void mount_anew() {
    last_ = "a new mount";
    for (Side* side : {&plain_side_, &mount_side_}) {
      for (const int file : std::exchange(side->files, {})) ::close(file);
    }
    ::close(mount_side_.folder);
    mount();
    mount_side_.root = mounted();
    mount_side_.folder = ::open(mount_side_.root.c_str(), O_RDONLY | O_DIRECTORY);
  }

  // ---- comparing
  // -----------------------------------------------------------------------------------------------------

  static std::set<std::string> names(const std::string& folder) {
    std::set<std::string> names;
    DIR* const open = ::opendir(folder.c_str());
    while (const dirent* entry = open != nullptr ? ::readdir(open) : nullptr) {
      EXPECT_TRUE(names.insert(entry->d_name).second) << "listed twice: " << folder << "/" << entry->d_name;
    }
    if (open != nullptr) ::closedir(open);
    names.erase(".coffer");
    return names;
  }

  static std::string xattrs(const std::string& path) {
    std::string list(4096, '\0');
    const ssize_t bytes = ::llistxattr(path.c_str(), list.data(), list.size());
    std::set<std::string> found;
    for (ssize_t at = 0; at < bytes; at += static_cast<ssize_t>(std::string(list.data() + at).size()) + 1) {
      const std::string name = list.data() + at;
      std::string value(4096, '\0');
      value.resize(static_cast<std::size_t>(
          std::max<ssize_t>(0, ::lgetxattr(path.c_str(), name.c_str(), value.data(), value.size()))));
      found.insert(name + "=" + value);
    }
    std::string all;
    for (const std::string& one : found) all += one + "\n";
    return all;
  }

  static std::string content(int fd) {
    struct stat st {};
    ::fstat(fd, &st);
    std::string text(static_cast<std::size_t>(st.st_size) + 1, '\0');
    const ssize_t count = ::pread(fd, text.data(), text.size(), 0);
    text.resize(static_cast<std::size_t>(std::max<ssize_t>(count, 0)));
    return text;
  }

  static std::string time_text(const timespec& time) {
    return time.tv_sec < kSetBefore ? std::to_string(time.tv_sec) + "." + std::to_string(time.tv_nsec) : "now";
  }

  static std::string stat_text(const struct stat& st) {
    const bool has_size = S_ISREG(st.st_mode) || S_ISLNK(st.st_mode);
    return "mode " + std::to_string(st.st_mode) + " links " + std::to_string(st.st_nlink) + " owner " +
           std::to_string(st.st_uid) + ":" + std::to_string(st.st_gid) + " size " +
           std::to_string(has_size ? st.st_size : 0) + " mtime " + time_text(st.st_mtim);
  }

  void compare(const std::string& path) {
    struct stat right {
    }, ours{};
    ASSERT_EQ(::lstat(plain_side_.at(path).c_str(), &right), 0) << path;
    ASSERT_EQ(::lstat(mount_side_.at(path).c_str(), &ours), 0) << path;
    EXPECT_EQ(stat_text(ours), stat_text(right)) << path;
    EXPECT_EQ(xattrs(mount_side_.at(path)), xattrs(plain_side_.at(path))) << path;
    if (S_ISLNK(right.st_mode)) {
      EXPECT_EQ(std::filesystem::read_symlink(mount_side_.at(path)),
                std::filesystem::read_symlink(plain_side_.at(path)));
    } else if (S_ISREG(right.st_mode)) {
      compare_content(path);
    } else if (S_ISDIR(right.st_mode)) {
      const std::set<std::string> entries = names(plain_side_.at(path));
      ASSERT_EQ(names(mount_side_.at(path)), entries) << path;
      for (const std::string& name : entries) {
        if (name != "." && name != "..") compare(path.empty() ? name : path + "/" + name);
      }
    }
  }

  void compare_content(const std::string& path) {
    const int right = ::open(plain_side_.at(path).c_str(), O_RDONLY | O_NOATIME);
    const int ours = ::open(mount_side_.at(path).c_str(), O_RDONLY | O_NOATIME);
    EXPECT_TRUE(content(ours) == content(right)) << path;
    expect_holes_are_zero(ours, path);
    ::close(right);
    ::close(ours);
  }

  /// Every byte outside what SEEK_DATA and SEEK_HOLE call data is zero, and both end at the end.
  static void expect_holes_are_zero(int fd, const std::string& path) {
    const std::string text = content(fd);
    off_t at = 0;
    while (at < static_cast<off_t>(text.size())) {
      off_t data = ::lseek(fd, at, SEEK_DATA);
      if (data < 0) data = static_cast<off_t>(text.size());
      for (off_t i = at; i < data; ++i) ASSERT_EQ(text[static_cast<std::size_t>(i)], '\0') << path << " at " << i;
      at = data < static_cast<off_t>(text.size()) ? ::lseek(fd, data, SEEK_HOLE) : data;
      ASSERT_GE(at, data) << path;
    }
  }

  void compare_files() {
    for (std::size_t i = 0; i < plain_side_.files.size(); ++i) {
      struct stat right {
      }, ours{};
      ::fstat(plain_side_.files[i], &right);
      ::fstat(mount_side_.files[i], &ours);
      EXPECT_EQ(stat_text(ours), stat_text(right)) << "open file " << i;
      EXPECT_TRUE(content(mount_side_.files[i]) == content(plain_side_.files[i])) << "open file " << i;
    }
  }

  std::unique_ptr<testing::SeededRandom> random_;
  Side plain_side_, mount_side_;
  std::string last_;
};

TEST_F(Model, IsMetBySystemCallsInAnyOrder) {
  if (::getuid() != 0) GTEST_SKIP() << "the calls are root's";
  const char* const seed = std::getenv("COFFER_SEED");
  const char* const seeds = std::getenv("COFFER_LONG");
  if (seed != nullptr) return run(static_cast<unsigned>(std::atoi(seed)), 2000);
  const unsigned count = seeds != nullptr ? static_cast<unsigned>(std::max(1, std::atoi(seeds))) : 1;
  for (unsigned i = 0; i < count && !HasFailure(); ++i) run(i, seeds != nullptr ? 2000 : 250);
}

}  // namespace
}  // namespace coffer
