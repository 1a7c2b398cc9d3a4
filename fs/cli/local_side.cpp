// Files of this machine.
//
// Someone else may own the folders of a destination, and root may be the one who copies. So every name below the base
// is opened from the folder above it and never through a symbolic link, and owner and mode go to the very file that
// was made, whatever has its name by then.
#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <filesystem>
#include <string_view>
#include <utility>

#include "common/os/fd.h"
#include "fs/cli/side.h"

namespace coffer::cli {

namespace {

using os::Fd;

constexpr std::size_t kPartBytes = 1u << 20;

Error failed(const std::string& path) {
  const int code = errno;
  if (code == ENOENT) return std::move(Error(answer(code))).in(path);
  return os_error(code, path);
}

Error in_the_way(const std::string& path) {
  return {Fault::answer, ENOTDIR,
          path + " is in the way: it is no folder, and symbolic links are not followed; move it away first"};
}

std::int64_t ns_of(const ::timespec& time) { return std::int64_t{time.tv_sec} * 1'000'000'000 + time.tv_nsec; }
::timespec time_of(std::int64_t ns) {
  std::int64_t seconds = ns / 1'000'000'000;
  std::int64_t rest = ns % 1'000'000'000;
  if (rest < 0) {
    rest += 1'000'000'000;
    --seconds;
  }
  return {seconds, rest};
}

class LocalSide : public Side {
 public:
  explicit LocalSide(std::string base) : base_(std::move(base)) {}

  Result<Node> look(const std::string& path) override {
    COFFER_TRY(const Place at, place(path));
    struct stat found {};
    if (::fstatat(at.folder, at.name.c_str(), &found, AT_SYMLINK_NOFOLLOW) != 0) return failed(path);
    Node node;
    node.mode = found.st_mode;
    node.uid = found.st_uid;
    node.gid = found.st_gid;
    node.rdev = found.st_rdev;
    node.bytes = static_cast<std::uint64_t>(found.st_size);
    node.atime_ns = ns_of(found.st_atim);
    node.mtime_ns = ns_of(found.st_mtim);
    node.links = found.st_nlink;
    node.identity = {found.st_dev, found.st_ino};
    return node;
  }

  Result<std::vector<std::string>> names(const std::string& folder) override {
    COFFER_TRY(const Place at, place(folder));
    Fd fd(::openat(at.folder, at.name.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC | at.no_follow()));
    if (!fd.is_open()) return failed(folder);
    DIR* const open = ::fdopendir(fd.get());
    if (open == nullptr) return failed(folder);
    (void)fd.release();
    std::vector<std::string> all;
    while (const ::dirent* entry = ::readdir(open)) {  // NOLINT(concurrency-mt-unsafe): a DIR of our own.
      const std::string_view name = entry->d_name;
      if (name != "." && name != "..") all.emplace_back(name);
    }
    ::closedir(open);
    std::ranges::sort(all);
    return all;
  }

  Result<std::string> link_target(const std::string& path) override {
    COFFER_TRY(const Place at, place(path));
    std::array<char, 4096> target{};
    const ssize_t got = ::readlinkat(at.folder, at.name.c_str(), target.data(), target.size());
    if (got < 0) return failed(path);
    return std::string(target.data(), static_cast<std::size_t>(got));
  }

  Result<void> read(const std::string& path, const Sink& sink) override {
    COFFER_TRY(const Place at, place(path));
    const Fd fd(::openat(at.folder, at.name.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
    if (!fd.is_open()) return failed(path);
    Bytes part(kPartBytes);
    for (;;) {
      const ssize_t got = ::read(fd.get(), part.data(), part.size());
      if (got < 0) return failed(path);
      if (got == 0) return {};
      COFFER_DO(sink(ByteView(part).first(static_cast<std::size_t>(got))));
    }
  }

  Result<std::vector<std::pair<std::string, std::string>>> xattrs(const std::string& path) override {
    COFFER_TRY(const Place at, place(path));
    const std::string name_of_it = at.for_xattrs();
    std::vector<std::pair<std::string, std::string>> all;
    std::string list(64u << 10, '\0');
    const ssize_t got = ::llistxattr(name_of_it.c_str(), list.data(), list.size());
    if (got <= 0) return all;
    list.resize(static_cast<std::size_t>(got));
    for (std::size_t from = 0; from < list.size();) {
      const std::string name = list.c_str() + from;
      from += name.size() + 1;
      std::string value(64u << 10, '\0');
      const ssize_t bytes = ::lgetxattr(name_of_it.c_str(), name.c_str(), value.data(), value.size());
      if (bytes < 0) continue;
      value.resize(static_cast<std::size_t>(bytes));
      all.emplace_back(name, std::move(value));
    }
    return all;
  }

  Result<void> make_folder(const std::string& path) override {
    COFFER_TRY(const Place at, place(path));
    if (::mkdirat(at.folder, at.name.c_str(), 0700) == 0) return {};
    if (errno != EEXIST) return failed(path);
    struct stat found {};
    const int flags = at.no_follow() != 0 ? AT_SYMLINK_NOFOLLOW : 0;
    if (::fstatat(at.folder, at.name.c_str(), &found, flags) != 0) return failed(path);
    return S_ISDIR(found.st_mode) ? Result<void>() : in_the_way(path);
  }
  Result<void> make_symlink(const std::string& target, const std::string& path) override {
    COFFER_TRY(const Place at, place(path));
    if (::symlinkat(target.c_str(), at.folder, at.name.c_str()) != 0) return failed(path);
    return {};
  }
  Result<void> make_hard_link(const std::string& old_path, const std::string& path) override {
    COFFER_TRY(Place old, place(old_path));
    const Fd old_folder(::fcntl(old.folder, F_DUPFD_CLOEXEC, 0));  // The next place() may close it.
    COFFER_TRY(const Place at, place(path));
    const int old_fd = old.folder == AT_FDCWD ? AT_FDCWD : old_folder.get();
    if (::linkat(old_fd, old.name.c_str(), at.folder, at.name.c_str(), 0) != 0) return failed(path);
    return {};
  }
  Result<void> make_special(const std::string& path, const Node& node) override {
    COFFER_TRY(const Place at, place(path));
    if (::mknodat(at.folder, at.name.c_str(), node.mode & ~07777u, node.rdev) != 0) return failed(path);
    return {};
  }

  Result<void> make_file(const std::string& path, const std::function<Result<void>(const Sink&)>& write) override {
    COFFER_TRY(const Place at, place(path));
    Fd fd(::openat(at.folder, at.name.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600));
    if (!fd.is_open()) return failed(path);
    COFFER_DO(write([&](ByteView bytes) -> Result<void> {
      while (!bytes.empty()) {
        const ssize_t put = ::write(fd.get(), bytes.data(), bytes.size());
        if (put < 0 && errno == EINTR) continue;
        if (put < 0) return failed(path);
        bytes = bytes.subspan(static_cast<std::size_t>(put));
      }
      return {};
    }));
    made_file_ = Fd(::fcntl(fd.get(), F_DUPFD_CLOEXEC, 0));
    made_path_ = path;
    if (::close(fd.release()) != 0 || !made_file_.is_open()) return failed(path);
    return {};
  }

  Result<void> remove(const std::string& path) override {
    COFFER_TRY(const Place at, place(path));
    if (::unlinkat(at.folder, at.name.c_str(), 0) != 0) return failed(path);
    return {};
  }

  Result<void> rename(const std::string& path, const std::string& new_path) override {
    COFFER_TRY(const Place at, place(path));
    const std::string new_name = new_path.substr(new_path.rfind('/') + 1);
    const bool is_relative = at.folder == AT_FDCWD;
    if (::renameat(at.folder, at.name.c_str(), at.folder, is_relative ? new_path.c_str() : new_name.c_str()) != 0)
      return failed(new_path);
    return {};
  }

  // The owner before the mode: a new one takes setuid away. Only root can give files away; a file that stays with who
  // copied it must not run as that user for everyone.
  Result<void> set_attributes(const std::string& path, const Node& node) override {
    const std::array<::timespec, 2> times = {time_of(node.atime_ns), time_of(node.mtime_ns)};
    const auto mode = [&](int chowned) { return node.mode & (chowned == 0 ? 07777u : 01777u); };
    const auto may_go_on = [](int chowned) { return chowned == 0 || errno == EPERM || errno == EINVAL; };
    if (path == made_path_) {
      const Fd file = std::move(made_file_);
      made_path_.clear();
      const int chowned = ::fchown(file.get(), node.uid, node.gid);
      if (!may_go_on(chowned) || ::fchmod(file.get(), mode(chowned)) != 0) return failed(path);
      if (::futimens(file.get(), times.data()) != 0) return failed(path);
      return {};
    }
    COFFER_TRY(const Place at, place(path));
    const char* const name = at.name.c_str();
    const int chowned = ::fchownat(at.folder, name, node.uid, node.gid, AT_SYMLINK_NOFOLLOW);
    if (!may_go_on(chowned)) return failed(path);
    if (!S_ISLNK(node.mode) && ::fchmodat(at.folder, name, mode(chowned), AT_SYMLINK_NOFOLLOW) != 0)
      return failed(path);
    if (::utimensat(at.folder, name, times.data(), AT_SYMLINK_NOFOLLOW) != 0) return failed(path);
    return {};
  }

  Result<void> set_xattr(const std::string& path, const std::string& name, const std::string& value) override {
    int done = 0;
    if (path == made_path_) {
      done = ::fsetxattr(made_file_.get(), name.c_str(), value.data(), value.size(), 0);
    } else {
      COFFER_TRY(const Place at, place(path));
      done = ::lsetxattr(at.for_xattrs().c_str(), name.c_str(), value.data(), value.size(), 0);
    }
    if (done == 0) return {};
    if (errno == EPERM || errno == ENOTSUP) return {};  // Not every file system, nor every user, can keep every one.
    return failed(path);
  }

 private:
  /// A name, and the folder above it: of the base "." in it; a whole path where there is no base.
  struct Place {
    int folder;
    std::string name;

    int no_follow() const { return folder == AT_FDCWD ? 0 : O_NOFOLLOW; }
    /// These calls know no folder beside a name.
    std::string for_xattrs() const {
      return folder == AT_FDCWD ? name : "/proc/self/fd/" + std::to_string(folder) + "/" + name;
    }
  };

  /// Valid until the next call.
  Result<Place> place(const std::string& path) {
    if (base_.empty()) return Place{AT_FDCWD, path};
    const bool is_base = path == base_;
    std::string parent = is_base ? base_ : path.substr(0, path.rfind('/'));
    if (parent.empty()) parent = "/";
    if (!folder_.is_open() || parent != folder_path_) COFFER_DO(open_folder(parent));
    return Place{folder_.get(), is_base ? "." : path.substr(path.rfind('/') + 1)};
  }

  Result<void> open_folder(const std::string& path) {
    constexpr int kFlags = O_PATH | O_DIRECTORY | O_CLOEXEC;
    const std::string below = path.starts_with(base_) ? path.substr(base_.size()) : "/..";
    Fd at(::open(base_.c_str(), kFlags));
    if (!at.is_open()) return failed(base_);
    std::string so_far = base_;
    for (const std::filesystem::path& part : std::filesystem::path(below).relative_path()) {
      if (part == "..") return Error{Fault::answer, EINVAL, path + " does not lie in " + base_};
      so_far += "/" + part.string();
      at = Fd(::openat(at.get(), part.c_str(), kFlags | O_NOFOLLOW));
      if (!at.is_open()) return errno == ENOTDIR || errno == ELOOP ? in_the_way(so_far) : failed(so_far);
    }
    folder_ = std::move(at);
    folder_path_ = path;
    return {};
  }

  const std::string base_;
  Fd folder_;
  std::string folder_path_;
  Fd made_file_;  // The last one, until it has its attributes.
  std::string made_path_;
};

}  // namespace

std::unique_ptr<Side> local_side(std::string base) { return std::make_unique<LocalSide>(std::move(base)); }

}  // namespace coffer::cli
