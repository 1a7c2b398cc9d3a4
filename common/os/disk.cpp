#include "common/os/disk.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstdio>

#include "common/base/check.h"

namespace coffer::os {
namespace {

/// Runs a system call again while a signal interrupts it.
template <class Call>
auto uninterrupted(const Call& call) {
  auto got = call();
  while (got < 0 && errno == EINTR) got = call();
  return got;
}

/// So many bytes at once are a chunk, which is seldom read soon again: its pages go once the disk has them, or once
/// they are read. Else every chunk takes pages that nothing used lately, and finding and filling these costs up to 1 ns
/// a byte, four times what it costs to use the same few again and again; and what is read again would be pushed out by
/// what is not.
constexpr std::size_t kPassingBytesMin = 256u << 10;
constexpr std::uint64_t kPageBytes = 4096;
/// RWF_DONTCACHE, since Linux 6.14; the headers of Debian 12 do not have it. EOPNOTSUPP where the kernel or the file
/// system does not.
constexpr int kUncached = 0x80;

bool says_that_uncached_is_unknown(int error) { return error == EOPNOTSUPP || error == EINVAL || error == ENOSYS; }

class Descriptor {
 public:
  explicit Descriptor(int fd) : fd_(fd) {}
  ~Descriptor() {
    if (fd_ >= 0) close(fd_);
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  int get() const { return fd_; }

 private:
  int fd_;
};

class RealFile final : public File {
 public:
  explicit RealFile(int fd) : fd_(fd) {}

  Result<std::size_t> read_at(MutableByteView into, std::uint64_t offset) override {
    std::size_t done = 0;
    int flags = into.size() >= kPassingBytesMin && can_let_pass_ ? kUncached : 0;
    while (done < into.size()) {
      const iovec rest{.iov_base = into.data() + done, .iov_len = into.size() - done};
      const ssize_t got =
          uninterrupted([&] { return preadv2(fd_.get(), &rest, 1, static_cast<off_t>(offset + done), flags); });
      if (got < 0 && flags != 0 && says_that_uncached_is_unknown(errno)) {
        can_let_pass_ = false;
        flags = 0;
        continue;
      }
      if (got < 0) return os_error(errno, "read");
      if (got == 0) break;
      done += static_cast<std::size_t>(got);
    }
    return done;
  }

  Result<void> write_at(ByteView bytes, std::uint64_t offset) override {
    if (bytes.size() >= kPassingBytesMin && can_let_pass_) {
      // Whole pages only: the next write goes on in the last one, and would have to read it from the disk.
      const std::uint64_t first_bytes = -offset % kPageBytes;
      const std::uint64_t last_bytes = (offset + bytes.size()) % kPageBytes;
      COFFER_DO(write_all(bytes.first(first_bytes), offset));
      bytes = bytes.subspan(first_bytes);
      offset += first_bytes;
      const ByteView pages = bytes.first(bytes.size() - last_bytes);
      COFFER_TRY(const std::size_t passed, let_pass(pages, offset));
      bytes = bytes.subspan(passed);
      offset += passed;
    }
    return write_all(bytes, offset);
  }

  Result<void> sync() override {
    if (uninterrupted([&] { return fdatasync(fd_.get()); }) != 0) return os_error(errno, "fdatasync");
    return {};
  }

  Result<void> truncate(std::uint64_t bytes) override {
    if (uninterrupted([&] { return ftruncate(fd_.get(), static_cast<off_t>(bytes)); }) != 0) {
      return os_error(errno, "truncate");
    }
    return {};
  }

  Result<std::uint64_t> size() override {
    struct stat status {};
    if (fstat(fd_.get(), &status) != 0) return os_error(errno, "stat");
    return static_cast<std::uint64_t>(status.st_size);
  }

  Result<void> punch(std::uint64_t offset, std::uint64_t bytes) override {
    const auto punched = uninterrupted([&] {
      return fallocate(fd_.get(), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, static_cast<off_t>(offset),
                       static_cast<off_t>(bytes));
    });
    if (punched == 0 || bytes == 0) return {};
    if (errno == EOPNOTSUPP || errno == ENOSYS) return zero(offset, bytes);
    return os_error(errno, "punch");
  }

 private:
  /// What punch() promises of the content, on a file system that cannot give the space back.
  Result<void> zero(std::uint64_t offset, std::uint64_t bytes) {
    COFFER_TRY(const std::uint64_t file_bytes, size());
    const std::uint64_t end = std::min(offset + bytes, file_bytes);
    const std::vector<std::byte> zeros(64u << 10);
    while (offset < end) {
      const std::size_t count = static_cast<std::size_t>(std::min<std::uint64_t>(end - offset, zeros.size()));
      COFFER_DO(write_at(ByteView(zeros).first(count), offset));
      offset += count;
    }
    return {};
  }

  Result<void> write_all(ByteView bytes, std::uint64_t offset) {
    while (!bytes.empty()) {
      const ssize_t put =
          uninterrupted([&] { return pwrite(fd_.get(), bytes.data(), bytes.size(), static_cast<off_t>(offset)); });
      if (put < 0) return os_error(errno, "write");
      bytes = bytes.subspan(static_cast<std::size_t>(put));
      offset += static_cast<std::uint64_t>(put);
    }
    return {};
  }

  /// Writes pages that the kernel forgets as soon as the disk has them; returns how many bytes of them it took so.
  Result<std::size_t> let_pass(ByteView pages, std::uint64_t offset) {
    std::size_t done = 0;
    while (done < pages.size()) {
      // iovec is for reading, too, and so not const.
      const iovec rest{.iov_base = const_cast<std::byte*>(pages.data() + done), .iov_len = pages.size() - done};
      const ssize_t put =
          uninterrupted([&] { return pwritev2(fd_.get(), &rest, 1, static_cast<off_t>(offset + done), kUncached); });
      if (put < 0 && says_that_uncached_is_unknown(errno)) {
        can_let_pass_ = false;
        return done;
      }
      if (put < 0) return os_error(errno, "write");
      done += static_cast<std::size_t>(put);
    }
    return done;
  }

  Descriptor fd_;
  std::atomic<bool> can_let_pass_ = true;
};

/// flock(2): the kernel lets it go with the process, however that ends.
class RealLock final : public DiskLock {
 public:
  explicit RealLock(int fd) : fd_(fd) {}

 private:
  Descriptor fd_;
};

int open_flags(Open how) {
  switch (how) {
    case Open::read: return O_RDONLY;
    case Open::write: return O_RDWR;
    case Open::create: return O_RDWR | O_CREAT;
    case Open::create_new: return O_RDWR | O_CREAT | O_EXCL;
  }
  COFFER_CHECK(false);
}

class RealDisk final : public Disk {
 public:
  Result<std::unique_ptr<File>> open(const std::string& path, Open how) override {
    const int fd = uninterrupted([&] { return ::open(path.c_str(), open_flags(how) | O_CLOEXEC, 0600); });
    if (fd < 0) return os_error(errno, "open");
    return std::make_unique<RealFile>(fd);
  }

  Result<void> remove(const std::string& path) override {
    if (std::remove(path.c_str()) != 0) return os_error(errno, "remove");
    return {};
  }

  Result<void> rename(const std::string& from, const std::string& to) override {
    if (std::rename(from.c_str(), to.c_str()) != 0) return os_error(errno, "rename");
    return {};
  }

  Result<bool> make_one_folder(const std::string& path) override {
    if (mkdir(path.c_str(), 0700) == 0) return true;
    const int code = errno;
    struct stat status {};
    const bool is_folder = stat(path.c_str(), &status) == 0 && S_ISDIR(status.st_mode);
    if (is_folder) return false;  // Also where mkdir(2) says EROFS or EACCES of a parent that is there.
    return os_error(code == EEXIST ? ENOTDIR : code, "make folder");
  }

  Result<void> sync_folder(const std::string& path) override {
    const Descriptor folder(uninterrupted([&] { return ::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC); }));
    if (folder.get() < 0) return os_error(errno, "open folder");
    if (uninterrupted([&] { return fsync(folder.get()); }) != 0) return os_error(errno, "fsync folder");
    return {};
  }

  Result<std::vector<std::string>> list(const std::string& path) override {
    const std::unique_ptr<DIR, int (*)(DIR*)> folder(opendir(path.c_str()), closedir);
    if (!folder) return os_error(errno, "open folder");
    std::vector<std::string> names;
    errno = 0;  // readdir(3) tells the end from a failure by errno alone.
    while (const dirent* entry = readdir(folder.get())) {
      const std::string name = entry->d_name;
      if (name != "." && name != "..") names.push_back(name);
    }
    if (errno != 0) return os_error(errno, "read folder");
    std::ranges::sort(names);
    return names;
  }

  Result<std::uint64_t> free_bytes(const std::string& path) override {
    struct statvfs status {};
    if (uninterrupted([&] { return statvfs(path.c_str(), &status); }) != 0) return os_error(errno, "statvfs");
    return std::uint64_t{status.f_bavail} * status.f_frsize;
  }

  Result<std::unique_ptr<DiskLock>> lock(const std::string& path) override {
    const int fd = uninterrupted([&] { return ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600); });
    if (fd < 0) return os_error(errno, "open lock");
    auto lock = std::make_unique<RealLock>(fd);
    if (flock(fd, LOCK_EX | LOCK_NB) == 0) return lock;
    if (errno == EWOULDBLOCK) return Error{Fault::refused, EBUSY, "it is in use by another process"};
    return os_error(errno, "flock");
  }

  const char* sqlite_vfs() const override { return nullptr; }
};

}  // namespace

Disk& real_disk() {
  static RealDisk disk;
  return disk;
}

}  // namespace coffer::os
