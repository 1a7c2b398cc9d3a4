#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <string_view>

#include "fs/cli/side.h"

namespace coffer::cli {

namespace {

constexpr std::size_t kPartBytes = 1u << 20;

Error failed(const std::string& path) {
  const int code = errno;
  if (code == ENOENT) return std::move(Error(answer(code))).in(path);
  return os_error(code, path);
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
  Result<Node> look(const std::string& path) override {
    struct stat found {};
    if (::lstat(path.c_str(), &found) != 0) return failed(path);
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
    DIR* const open = ::opendir(folder.c_str());
    if (open == nullptr) return failed(folder);
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
    std::array<char, 4096> target{};
    const ssize_t got = ::readlink(path.c_str(), target.data(), target.size());
    if (got < 0) return failed(path);
    return std::string(target.data(), static_cast<std::size_t>(got));
  }

  Result<void> read(const std::string& path, const Sink& sink) override {
    const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0) return failed(path);
    Bytes part(kPartBytes);
    Result<void> result;
    for (bool ended = false; result && !ended;) {
      const ssize_t got = ::read(fd, part.data(), part.size());
      if (got < 0) result = failed(path);
      if (got > 0) result = sink(ByteView(part).first(static_cast<std::size_t>(got)));
      ended = got == 0;
    }
    ::close(fd);
    return result;
  }

  Result<std::vector<std::pair<std::string, std::string>>> xattrs(const std::string& path) override {
    std::vector<std::pair<std::string, std::string>> all;
    std::string list(64u << 10, '\0');
    const ssize_t got = ::llistxattr(path.c_str(), list.data(), list.size());
    if (got <= 0) return all;
    list.resize(static_cast<std::size_t>(got));
    for (std::size_t at = 0; at < list.size();) {
      const std::string name = list.c_str() + at;
      at += name.size() + 1;
      std::string value(64u << 10, '\0');
      const ssize_t bytes = ::lgetxattr(path.c_str(), name.c_str(), value.data(), value.size());
      if (bytes < 0) continue;
      value.resize(static_cast<std::size_t>(bytes));
      all.emplace_back(name, std::move(value));
    }
    return all;
  }

  Result<void> make_folder(const std::string& path) override {
    if (::mkdir(path.c_str(), 0700) != 0 && errno != EEXIST) return failed(path);
    return {};
  }
  Result<void> make_symlink(const std::string& target, const std::string& path) override {
    if (::symlink(target.c_str(), path.c_str()) != 0) return failed(path);
    return {};
  }
  Result<void> make_hard_link(const std::string& old_path, const std::string& path) override {
    if (::link(old_path.c_str(), path.c_str()) != 0) return failed(path);
    return {};
  }
  Result<void> make_special(const std::string& path, const Node& node) override {
    if (::mknod(path.c_str(), node.mode, node.rdev) != 0) return failed(path);
    return {};
  }

  Result<void> make_file(const std::string& path, const std::function<Result<void>(const Sink&)>& write) override {
    const int fd = ::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0) return failed(path);
    const Result<void> written = write([&](ByteView bytes) -> Result<void> {
      while (!bytes.empty()) {
        const ssize_t put = ::write(fd, bytes.data(), bytes.size());
        if (put < 0 && errno == EINTR) continue;
        if (put < 0) return failed(path);
        bytes = bytes.subspan(static_cast<std::size_t>(put));
      }
      return {};
    });
    const bool is_closed = ::close(fd) == 0;
    if (!written) return written;
    if (!is_closed) return failed(path);
    return {};
  }

  Result<void> remove(const std::string& path) override {
    if (::unlink(path.c_str()) != 0) return failed(path);
    return {};
  }

  Result<void> rename(const std::string& path, const std::string& new_path) override {
    if (::rename(path.c_str(), new_path.c_str()) != 0) return failed(new_path);
    return {};
  }

  Result<void> set_attributes(const std::string& path, const Node& node) override {
    // Before the mode: a new owner takes setuid away. Only root can give files away.
    if (::lchown(path.c_str(), node.uid, node.gid) != 0 && errno != EPERM) return failed(path);
    if (!S_ISLNK(node.mode) && ::chmod(path.c_str(), node.mode & 07777) != 0) return failed(path);
    const std::array<::timespec, 2> times = {time_of(node.atime_ns), time_of(node.mtime_ns)};
    if (::utimensat(AT_FDCWD, path.c_str(), times.data(), AT_SYMLINK_NOFOLLOW) != 0) return failed(path);
    return {};
  }

  Result<void> set_xattr(const std::string& path, const std::string& name, const std::string& value) override {
    if (::lsetxattr(path.c_str(), name.c_str(), value.data(), value.size(), 0) == 0) return {};
    if (errno == EPERM || errno == ENOTSUP) return {};  // Not every file system, nor every user, can keep every one.
    return failed(path);
  }
};

}  // namespace

std::unique_ptr<Side> local_side() { return std::make_unique<LocalSide>(); }

}  // namespace coffer::cli
