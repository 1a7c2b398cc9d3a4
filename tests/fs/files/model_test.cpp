// A plain folder of this machine says what is right: the same random calls go to it and to a FileSystem, and after each
// the two are compared whole.
#include <dirent.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "tests/testing/seeded_random.h"
#include "tests/testing/temp_dir.h"
#include "tests/testing/vault/local_vault.h"

namespace coffer {
namespace {

using files::FileSystem;
using files::HandleId;
using testing::LocalVault;
using testing::SeededRandom;
using testing::TempDir;

/// 0 or an errno, as both sides say it.
int code_of(const Error& error) { return error.fault == Fault::answer ? error.code : EIO; }
int code_of(int result) { return result < 0 ? errno : 0; }

/// The plain folder's atimes are the kernel's business; here a read changes none, so that looking changes nothing.
files::FileSystemOptions without_atimes() {
  files::FileSystemOptions options;
  options.atimes = files::Atimes::none;
  return options;
}

class Model {
 public:
  explicit Model(unsigned seed) : random_(seed) {
    folder_ = (temp_ / "plain").string();
    COFFER_CHECK(::mkdir(folder_.c_str(), 0755) == 0);
    vault_ = std::make_unique<LocalVault>((temp_ / "vault").string(), without_atimes());
  }
  ~Model() {
    for (const Open& open : open_) ::close(open.fd);
  }

  void step() {
    switch (random_.below(22)) {
      case 0:
      case 1: return create();
      case 2: return make_folder();
      case 3: return make_symlink();
      case 4: return link();
      case 5: return unlink();
      case 6: return remove_folder();
      case 7:
      case 8: return rename();
      case 9: return chmod();
      case 10: return set_times();
      case 11: return truncate();
      case 12: return open_file();
      case 13: return close_file();
      case 14: return xattr();
      case 15: return punch();
      case 16: return copy_range();
      case 17: return flush();
      case 18: return append();
      default: return write();
    }
  }

  void compare() {
    std::map<InodeId, ino_t> plain_of;
    compare_folder("", kRootInode, plain_of);
    for (const Open& open : open_) compare_open(open);
  }

  /// A new process, without warning; what is open is closed first.
  void restart(bool is_killed) {
    while (!open_.empty()) close_file();
    if (is_killed) vault_->kill();
    vault_.reset();
    vault_ = std::make_unique<LocalVault>((temp_ / "vault").string(), without_atimes());
  }

  std::string last;  ///< What the last step did.

 private:
  struct Open {
    HandleId handle;
    int fd;
    InodeId inode;
  };

  FileSystem& files() { return vault_->file_system(); }
  std::string plain(const std::string& path) const { return folder_ + "/" + path; }

  /// A path whose folder exists, more often than not; a few names, so that they meet.
  std::string any_path() {
    static constexpr const char* kNames[] = {"a", "b", "c", "d", "e"};
    std::string path;
    std::string found;
    for (std::uint64_t depth = 1 + random_.below(3); depth > 0; --depth) {
      path += (path.empty() ? "" : "/") + std::string(kNames[random_.below(std::size(kNames))]);
      found = path;
      struct stat st {};
      if (::lstat(plain(path).c_str(), &st) != 0 || !S_ISDIR(st.st_mode)) break;
    }
    return found;
  }

  struct Place {
    InodeId parent;
    std::string name;
  };
  Place place(const std::string& path) {
    const std::size_t slash = path.rfind('/');
    if (slash == std::string::npos) return {kRootInode, path};
    const Result<InodeId> parent = files().resolve(path.substr(0, slash));
    EXPECT_TRUE(parent.has_value()) << path;
    return {parent ? *parent : kRootInode, path.substr(slash + 1)};
  }
  std::optional<InodeId> inode_of(const std::string& path) {
    const Result<InodeId> inode = files().resolve(path);
    return inode ? std::optional(*inode) : std::nullopt;
  }

  template <class T>
  static int code(const Result<T>& result) {
    return result ? 0 : code_of(result.error());
  }
  void expect_same(int ours, int plains, const std::string& what) {
    last = what + ": " + std::to_string(plains);
    EXPECT_EQ(ours, plains) << what;
  }

  static meta::NewInode new_inode(mode_t mode) {
    meta::NewInode what;
    what.mode = mode;
    what.uid = ::getuid();
    what.gid = ::getgid();
    return what;
  }

  void create() {
    const std::string path = any_path();
    const Place at = place(path);
    const int ours = code(files().create(at.parent, at.name, new_inode(S_IFREG | 0644)));
    expect_same(ours, code_of(::mknod(plain(path).c_str(), S_IFREG | 0644, 0)), "create " + path);
  }
  void make_folder() {
    const std::string path = any_path();
    const Place at = place(path);
    const int ours = code(files().create(at.parent, at.name, new_inode(S_IFDIR | 0755)));
    expect_same(ours, code_of(::mkdir(plain(path).c_str(), 0755)), "mkdir " + path);
  }
  void make_symlink() {
    const std::string path = any_path();
    const Place at = place(path);
    meta::NewInode what = new_inode(S_IFLNK | 0777);
    what.symlink_target = any_path();
    const int ours = code(files().create(at.parent, at.name, what));
    expect_same(ours, code_of(::symlink(what.symlink_target.c_str(), plain(path).c_str())), "symlink " + path);
  }
  void link() {
    const std::string from = any_path();
    const std::string path = any_path();
    const std::optional<InodeId> inode = inode_of(from);
    if (!inode) return;
    const Place at = place(path);
    struct stat st {};
    if (::lstat(plain(from).c_str(), &st) == 0 && S_ISDIR(st.st_mode)) return;  // Linux: EPERM before EEXIST.
    const int ours = code(files().link(*inode, at.parent, at.name));
    expect_same(ours, code_of(::link(plain(from).c_str(), plain(path).c_str())), "link " + from + " " + path);
  }
  void unlink() {
    const std::string path = any_path();
    const Place at = place(path);
    const int ours = code(files().unlink(at.parent, at.name));
    expect_same(ours, code_of(::unlink(plain(path).c_str())), "unlink " + path);
  }
  void remove_folder() {
    const std::string path = any_path();
    const Place at = place(path);
    const int ours = code(files().rmdir(at.parent, at.name));
    expect_same(ours, code_of(::rmdir(plain(path).c_str())), "rmdir " + path);
  }
  void rename() {
    static constexpr struct {
      meta::RenameMode ours;
      unsigned plains;
    } kModes[] = {{meta::RenameMode::replace, 0}, {meta::RenameMode::no_replace, 1}, {meta::RenameMode::exchange, 2}};
    const auto mode = kModes[random_.below(8) < 6 ? 0 : 1 + random_.below(2)];
    const std::string from = any_path();
    const std::string to = any_path();
    // The kernel decides these before a file system sees them.
    if (to.starts_with(from + "/") || from.starts_with(to + "/")) return;
    const Place a = place(from);
    const Place b = place(to);
    const int ours = code(files().rename(a.parent, a.name, b.parent, b.name, mode.ours));
    expect_same(ours, code_of(::renameat2(AT_FDCWD, plain(from).c_str(), AT_FDCWD, plain(to).c_str(), mode.plains)),
                "rename " + from + " " + to + " " + std::to_string(mode.plains));
  }
  void chmod() {
    const std::string path = any_path();
    const std::optional<InodeId> inode = inode_of(path);
    struct stat st {};
    if (!inode || ::lstat(plain(path).c_str(), &st) != 0 || S_ISLNK(st.st_mode)) return;
    meta::AttributeChange change;
    change.mode = static_cast<std::uint32_t>(random_.below(010000) | 0700);
    expect_same(code(files().change(*inode, change)), code_of(::chmod(plain(path).c_str(), *change.mode)),
                "chmod " + path);
  }
  void set_times() {
    const std::string path = any_path();
    const std::optional<InodeId> inode = inode_of(path);
    if (!inode) return;
    const auto seconds = static_cast<std::int64_t>(random_.below(2'000'000'000)) - 500'000'000;
    const auto nanoseconds = static_cast<std::int64_t>(random_.below(1'000'000'000));
    meta::AttributeChange change;
    change.mtime_ns = seconds * 1'000'000'000 + nanoseconds;
    change.atime_ns = change.mtime_ns;
    const timespec times[2] = {{.tv_sec = seconds, .tv_nsec = nanoseconds},
                               {.tv_sec = seconds, .tv_nsec = nanoseconds}};
    expect_same(code(files().change(*inode, change)),
                code_of(::utimensat(AT_FDCWD, plain(path).c_str(), times, AT_SYMLINK_NOFOLLOW)), "utimens " + path);
    timed_.insert(*inode);
  }
  void truncate() {
    const std::string path = any_path();
    const std::optional<InodeId> inode = inode_of(path);
    struct stat st {};
    if (!inode || ::lstat(plain(path).c_str(), &st) != 0 || !S_ISREG(st.st_mode)) return;
    meta::AttributeChange change;
    change.bytes = any_offset();
    expect_same(code(files().change(*inode, change)),
                code_of(::truncate(plain(path).c_str(), static_cast<off_t>(*change.bytes))),
                "truncate " + path + " " + std::to_string(*change.bytes));
    timed_.erase(*inode);
  }

  /// Mostly small, at times beyond a piece and a chunk.
  std::uint64_t any_offset() { return random_.below(random_.below(20) == 0 ? 3'000'000 : 20'000); }
  Bytes any_bytes() { return random_.bytes(1 + random_.below(random_.below(20) == 0 ? 1'500'000 : 10'000)); }

  void open_file() {
    const std::string path = any_path();
    const std::optional<InodeId> inode = inode_of(path);
    struct stat st {};
    if (open_.size() >= 4 || !inode || ::lstat(plain(path).c_str(), &st) != 0 || !S_ISREG(st.st_mode)) return;
    const int flags = O_RDWR | (random_.below(4) == 0 ? O_TRUNC : 0);
    const Result<HandleId> handle = files().open(*inode, flags);
    const int fd = ::open(plain(path).c_str(), flags);
    ASSERT_TRUE(handle.has_value());
    ASSERT_GE(fd, 0);
    open_.push_back({*handle, fd, *inode});
    if ((flags & O_TRUNC) != 0) timed_.erase(*inode);
    last = "open " + path;
  }
  Open* any_open() { return open_.empty() ? nullptr : &open_[random_.below(open_.size())]; }
  void close_file() {
    if (open_.empty()) return;
    const std::size_t index = random_.below(open_.size());
    const Open open = open_[index];
    open_.erase(open_.begin() + static_cast<std::ptrdiff_t>(index));
    EXPECT_TRUE(files().flush(open.handle).has_value());
    files().release(open.handle);
    ::close(open.fd);
    last = "close";
  }
  void write_to(const Open& open, std::uint64_t at) {
    const Bytes bytes = any_bytes();
    EXPECT_TRUE(files().write(open.handle, at, bytes).has_value());
    EXPECT_EQ(::pwrite(open.fd, bytes.data(), bytes.size(), static_cast<off_t>(at)),
              static_cast<ssize_t>(bytes.size()));
    timed_.erase(open.inode);
    last = "write " + std::to_string(at) + " " + std::to_string(bytes.size());
  }
  void write() {
    if (const Open* open = any_open()) write_to(*open, any_offset());
  }
  void append() {
    const Open* open = any_open();
    if (open == nullptr) return;
    struct stat st {};
    ::fstat(open->fd, &st);
    write_to(*open, static_cast<std::uint64_t>(st.st_size));
  }
  void punch() {
    const Open* open = any_open();
    if (open == nullptr) return;
    const std::uint64_t at = any_offset();
    const std::uint64_t bytes = 1 + any_offset();
    const bool extends = random_.below(2) == 0;
    const int mode = extends ? 0 : FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE;
    if (::fallocate(open->fd, mode, static_cast<off_t>(at), static_cast<off_t>(bytes)) != 0) return;
    EXPECT_TRUE(files()
                    .allocate(open->handle, extends ? FileSystem::Allocate::extend : FileSystem::Allocate::punch_hole,
                              at, bytes)
                    .has_value());
    timed_.erase(open->inode);
    last = "fallocate " + std::to_string(mode) + " " + std::to_string(at) + " " + std::to_string(bytes);
  }
  void copy_range() {
    const Open* from = any_open();
    const Open* to = any_open();
    if (from == nullptr || from->inode == to->inode) return;
    const std::uint64_t from_at = any_offset();
    const std::uint64_t to_at = any_offset();
    const std::uint64_t bytes = 1 + any_offset();
    const Result<std::uint64_t> ours = files().copy_range(from->handle, from_at, to->handle, to_at, bytes);
    Bytes content(bytes);
    const ssize_t count = ::pread(from->fd, content.data(), bytes, static_cast<off_t>(from_at));
    EXPECT_EQ(::pwrite(to->fd, content.data(), static_cast<std::size_t>(count), static_cast<off_t>(to_at)), count);
    ASSERT_TRUE(ours.has_value());
    EXPECT_EQ(static_cast<ssize_t>(*ours), count);
    timed_.erase(to->inode);
    last = "copy_range " + std::to_string(from_at) + " " + std::to_string(to_at) + " " + std::to_string(bytes);
  }
  void flush() {
    if (const Open* open = any_open(); open != nullptr && random_.below(4) > 0) {
      EXPECT_TRUE(files().flush(open->handle).has_value());
      last = "flush";
    } else {
      EXPECT_TRUE(files().flush_all().has_value());
      last = "flush all";
    }
  }

  void xattr() {
    const std::string path = any_path();
    const std::optional<InodeId> inode = inode_of(path);
    if (!inode) return;
    auto& expected = xattrs_[*inode];
    const std::string name = "user." + std::to_string(random_.below(3));
    if (random_.below(3) == 0) {
      EXPECT_EQ(code(files().remove_xattr(*inode, name)), expected.erase(name) > 0 ? 0 : ENODATA);
    } else {
      const Bytes value = random_.bytes(random_.below(500));
      EXPECT_EQ(code(files().set_xattr(*inode, name, value, meta::XattrMode::either)), 0);
      expected[name] = std::string(as_text(value));
    }
    last = "xattr " + path;
  }

  void compare_attributes(const Attributes& ours, const struct stat& st, const std::string& path) {
    EXPECT_EQ(ours.mode, st.st_mode) << path;
    EXPECT_EQ(ours.links, st.st_nlink) << path;
    if (!S_ISDIR(st.st_mode)) {
      EXPECT_EQ(static_cast<off_t>(ours.bytes), st.st_size) << path;
    }
    if (timed_.contains(ours.inode) && !S_ISDIR(st.st_mode)) {
      EXPECT_EQ(ours.mtime_ns, st.st_mtim.tv_sec * 1'000'000'000 + st.st_mtim.tv_nsec) << path;
    }
  }

  void compare_content(HandleId handle, int fd, std::uint64_t bytes, const std::string& path) {
    Bytes ours(bytes + 1);
    Bytes plains(bytes + 1);
    const Result<std::size_t> read = files().read(handle, 0, ours);
    ASSERT_TRUE(read.has_value()) << path << " " << read.error().what;
    const ssize_t count = ::pread(fd, plains.data(), plains.size(), 0);
    ASSERT_EQ(static_cast<ssize_t>(*read), count) << path;
    const auto [a, b] = std::mismatch(ours.begin(), ours.begin() + count, plains.begin());
    EXPECT_EQ(a - ours.begin(), count) << path << " differs there";
  }

  void compare_open(const Open& open) {
    struct stat st {};
    ASSERT_EQ(::fstat(open.fd, &st), 0);
    const Result<Attributes> ours = files().attributes(open.inode);
    ASSERT_TRUE(ours.has_value());
    compare_attributes(*ours, st, "an open file");
    compare_content(open.handle, open.fd, static_cast<std::uint64_t>(st.st_size), "an open file");
  }

  void compare_file(InodeId inode, const std::string& path, const struct stat& st) {
    const Result<HandleId> handle = files().open(inode, O_RDONLY);
    ASSERT_TRUE(handle.has_value()) << path;
    const int fd = ::open(plain(path).c_str(), O_RDONLY);
    compare_content(*handle, fd, static_cast<std::uint64_t>(st.st_size), path);
    ::close(fd);
    files().release(*handle);
  }

  void compare_folder(const std::string& path, InodeId folder, std::map<InodeId, ino_t>& plain_of) {
    std::map<std::string, Attributes> ours;
    for (std::uint64_t after = 0;;) {
      const Result<std::vector<files::Entry>> entries = files().entries(folder, after, 3);
      ASSERT_TRUE(entries.has_value());
      if (entries->empty()) break;
      for (const files::Entry& entry : *entries) {
        EXPECT_TRUE(ours.emplace(entry.name, entry.attributes).second) << "listed twice: " << entry.name;
        after = entry.cookie;
      }
    }
    std::set<std::string> names;
    DIR* const dir = ::opendir(plain(path).c_str());
    ASSERT_NE(dir, nullptr) << path;
    while (const dirent* entry = ::readdir(dir)) {
      const std::string name = entry->d_name;
      if (name != "." && name != "..") names.insert(name);
    }
    ::closedir(dir);
    ASSERT_EQ(ours.size(), names.size()) << path;
    for (const std::string& name : names) {
      ASSERT_TRUE(ours.contains(name)) << path << " " << name;
      compare_entry(path.empty() ? name : path + "/" + name, ours.at(name), folder, name, plain_of);
    }
  }

  void compare_entry(const std::string& path, const Attributes& ours, InodeId folder, const std::string& name,
                     std::map<InodeId, ino_t>& plain_of) {
    struct stat st {};
    ASSERT_EQ(::lstat(plain(path).c_str(), &st), 0);
    compare_attributes(ours, st, path);
    EXPECT_EQ(*files().lookup(folder, name), ours) << path;
    EXPECT_EQ(plain_of.emplace(ours.inode, st.st_ino).first->second, st.st_ino) << path << " is another inode";

    const auto expected = xattrs_.find(ours.inode);
    const Result<std::vector<std::string>> listed = files().xattrs(ours.inode);
    ASSERT_TRUE(listed.has_value());
    EXPECT_EQ(listed->size(), expected == xattrs_.end() ? 0 : expected->second.size()) << path;
    for (const std::string& one : *listed) EXPECT_EQ(*files().xattr(ours.inode, one), expected->second[one]) << path;

    if (S_ISDIR(st.st_mode)) {
      compare_folder(path, ours.inode, plain_of);
    } else if (S_ISREG(st.st_mode)) {
      compare_file(ours.inode, path, st);
    } else {
      char target[PATH_MAX];
      const ssize_t length = ::readlink(plain(path).c_str(), target, sizeof(target));
      EXPECT_EQ(*files().symlink_target(ours.inode), std::string(target, static_cast<std::size_t>(length))) << path;
    }
  }

  TempDir temp_;
  std::string folder_;
  SeededRandom random_;
  std::unique_ptr<LocalVault> vault_;
  std::vector<Open> open_;
  std::set<InodeId> timed_;  ///< mtime was set and nothing was written since.
  std::map<InodeId, std::map<std::string, std::string>> xattrs_;
};

// Claim: whatever is called, a FileSystem shows what a plain folder shows; also after a restart, and after a kill
// without flush for all that was closed.
TEST(FileSystem, ShowsWhatAPlainFolderShows) {
  constexpr unsigned kSeeds = 12;
  constexpr int kSteps = 150;
  for (unsigned seed = 0; seed < kSeeds; ++seed) {
    Model model(seed);
    for (int step = 0; step < kSteps; ++step) {
      model.step();
      if (step % 50 == 49) model.restart(step == 99);
      SCOPED_TRACE(::testing::Message() << "seed " << seed << ", step " << step << ": " << model.last);
      model.compare();
      if (::testing::Test::HasFailure()) return;
    }
  }
}

}  // namespace
}  // namespace coffer
