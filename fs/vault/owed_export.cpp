// Vault::export_owed(): writes what is owed into a folder of this machine.
//
// Names are opened one by one below the folder, never through a symbolic link, and made with O_EXCL: nothing that is
// there is touched. Each file is synced, then each folder that was made, the deepest first, so that what the report
// calls exported survives a power cut.
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <filesystem>
#include <map>
#include <utility>

#include "common/base/log.h"
#include "common/os/fd.h"
#include "fs/vault/parts.h"

namespace coffer::vault {

namespace {

using std::chrono::steady_clock;
using namespace std::chrono_literals;

constexpr std::uint64_t kPartBytes = 1u << 20;
/// For a part that only the server has, while it answers.
constexpr auto kPartDeadline = 60s;
constexpr const char* kIncomplete = ".coffer-incomplete";

using os::Fd;

std::array<::timespec, 2> times_of(const Attributes& row) {
  const auto time = [](std::int64_t ns) {
    std::int64_t seconds = ns / 1'000'000'000;
    if (ns % 1'000'000'000 < 0) --seconds;
    return ::timespec{seconds, ns - seconds * 1'000'000'000};
  };
  return {time(row.atime_ns), time(row.mtime_ns)};
}

/// Only root can give files away: one that stays with who exports it must not run as that user for everyone.
::mode_t mode_of(const Attributes& row, int chowned) { return row.mode & (chowned == 0 ? 07777u : 01777u); }

class Export {
 public:
  Export(Vault::Parts& parts, std::string to) : parts_(parts), to_(std::move(to)) {}

  Result<ExportReport> run(const std::vector<meta::OwedPath>& owed, const ExportProgress& progress,
                           const std::stop_token& stop) {
    COFFER_DO(open_target());
    for (std::size_t i = 0; i < owed.size(); ++i) {
      if (stop.stop_requested()) return Error{Fault::stopped, EINTR, "interrupted"};
      const meta::OwedPath& path = owed[i];
      if (path.removed) {
        report_.removed.push_back(path.path);
      } else if (const Result<void> done = one(path); !done) {
        missed(path, done.error().what);
      }
      if (progress) progress(i + 1, owed.size());
    }
    COFFER_DO(finish_folders());
    return std::move(report_);
  }

 private:
  void missed(const meta::OwedPath& path, const std::string& what, bool is_only_here = true) {
    report_.not_exported.push_back({path.path, what, is_only_here});
  }

  Result<void> open_target() {
    std::error_code failure;
    std::filesystem::create_directories(to_, failure);
    if (failure) return os_error(failure.value(), to_);
    target_ = Fd(::open(to_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (!target_.is_open()) return os_error(errno, to_);
    return {};
  }

  /// The folder "/a/b" below the target, made where it is missing.
  Result<Fd> folder(const std::string& path) {
    Fd at(::openat(target_.get(), ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    std::string so_far;
    for (const std::filesystem::path& part : std::filesystem::path(path).relative_path()) {
      so_far += "/" + part.string();
      if (::mkdirat(at.get(), part.c_str(), 0700) == 0) {
        made_folders_.push_back(so_far);
        ++report_.folders;
      } else if (errno != EEXIST) {
        return os_error(errno, to_ + so_far);
      }
      at = Fd(::openat(at.get(), part.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
      if (!at.is_open()) return os_error(errno, to_ + so_far);
    }
    return at;
  }

  Result<void> one(const meta::OwedPath& path) {
    COFFER_TRY(const Attributes row, parts_.committer->attributes(path.inode));
    if (S_ISDIR(row.mode)) {
      COFFER_TRY([[maybe_unused]] const Fd made, folder(path.path));
      return {};
    }
    const std::size_t slash = path.path.rfind('/');
    COFFER_TRY(const Fd parent, folder(path.path.substr(0, slash)));
    const std::string name = path.path.substr(slash + 1);
    if (row.links > 1) {
      const auto known = first_paths_.find(path.inode);
      if (known != first_paths_.end()) {
        const std::size_t first_slash = known->second.rfind('/');
        COFFER_TRY(const Fd first_parent, folder(known->second.substr(0, first_slash)));
        const char* const first_name = known->second.c_str() + first_slash + 1;
        if (::linkat(first_parent.get(), first_name, parent.get(), name.c_str(), 0) != 0) return taken();
        return {};
      }
    }
    COFFER_TRY(const bool is_done, make(path, row, parent, name));
    if (!is_done) return {};
    first_paths_.emplace(path.inode, path.path);
    ++report_.files;
    return {};
  }

  static Error taken() {
    return errno == EEXIST ? Error{Fault::answer, EEXIST, "something of this name is there already"}
                           : os_error(errno, "writing it");
  }

  Result<bool> make(const meta::OwedPath& path, const Attributes& row, const Fd& parent, const std::string& name) {
    if (S_ISREG(row.mode)) return file(path, row, parent, name);
    if (S_ISLNK(row.mode)) {
      COFFER_TRY(const std::string target, parts_.tree->symlink_target(path.inode));
      if (::symlinkat(target.c_str(), parent.get(), name.c_str()) != 0) return taken();
    } else if (::mknodat(parent.get(), name.c_str(), row.mode & ~07777u, row.rdev) != 0) {
      return taken();
    }
    const int chowned = ::fchownat(parent.get(), name.c_str(), row.uid, row.gid, AT_SYMLINK_NOFOLLOW);
    if (!S_ISLNK(row.mode)) {
      (void)!::fchmodat(parent.get(), name.c_str(), mode_of(row, chowned), AT_SYMLINK_NOFOLLOW);
    }
    (void)!::utimensat(parent.get(), name.c_str(), times_of(row).data(), AT_SYMLINK_NOFOLLOW);
    return true;
  }

  Result<bool> file(const meta::OwedPath& path, const Attributes& row, const Fd& parent, const std::string& name) {
    const Fd into(::openat(parent.get(), name.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600));
    if (!into.is_open()) return taken();
    Result<std::uint64_t> missing = content(path.inode, row, into);
    if (missing) {
      if (const Result<void> finished = finish(path.inode, row, into); !finished) missing = finished.error();
    }
    if (missing && *missing == 0) return true;
    const bool is_some_use = missing && path.content;
    if (!is_some_use) ::unlinkat(parent.get(), name.c_str(), 0);
    if (!missing) return std::move(missing).error();
    const std::string where = parts_.client->link() == rpc::Link::online
                                  ? "cannot be read"
                                  : "lie on the server alone, which cannot be reached now";
    std::string what = std::to_string(*missing) + " of its " + std::to_string(row.bytes) + " bytes " + where;
    if (!is_some_use) {
      missed(path, what + "; only its name or attributes are owed", false);
      return false;
    }
    const std::string other = name + kIncomplete;
    if (::renameat2(parent.get(), name.c_str(), parent.get(), other.c_str(), 1 /* RENAME_NOREPLACE */) != 0) {
      ::unlinkat(parent.get(), name.c_str(), 0);
      return taken();
    }
    missed(path, what + "; the rest is in " + path.path + kIncomplete + ", with zeros in between");
    return false;
  }

  /// How many bytes could not be read. Of holes nothing is written.
  Result<std::uint64_t> content(InodeId inode, const Attributes& row, const Fd& into) {
    if (::ftruncate(into.get(), static_cast<off_t>(row.bytes)) != 0) return os_error(errno, "writing it");
    std::uint64_t missing = 0;
    COFFER_TRY(const std::vector<Extent> extents, parts_.tree->extents(inode, FileOffset(0), FileOffset(row.bytes)));
    Bytes part;
    for (const Extent& extent : extents) {
      const std::uint64_t end = std::min(extent.end().value(), row.bytes);
      for (std::uint64_t at = extent.at.value(); at < end; at += part.size()) {
        part.resize(std::min(kPartBytes, end - at));
        if (!read(inode, at, part)) {
          missing += part.size();
          continue;
        }
        COFFER_DO(write(into, at, part));
      }
    }
    // What is only in memory lies over it.
    const std::uint64_t buffered_end = std::min(parts_.committer->buffered(inode).bytes, row.bytes);
    for (std::uint64_t at = 0; at < buffered_end; at += part.size()) {
      part.resize(std::min(kPartBytes, buffered_end - at));
      for (const Range& range : parts_.committer->read_buffered(inode, FileOffset(at), part)) {
        COFFER_DO(write(into, range.begin, ByteView(part).subspan(range.begin - at, range.end - range.begin)));
      }
    }
    report_.bytes += row.bytes - std::min(missing, row.bytes);
    return missing;
  }

  bool read(InodeId inode, std::uint64_t at, MutableByteView into) {
    const bool is_online = parts_.client->link() == rpc::Link::online;
    const auto deadline = steady_clock::now() + (is_online ? kPartDeadline : 0s);
    const Result<void> done = parts_.fetcher->read(inode, FileOffset(at), into, deadline);
    if (!done) log::warn("not_exported", {{"inode", inode.value()}, {"at", at}, {"why", done.error().what}});
    return done.has_value();
  }

  static Result<void> write(const Fd& into, std::uint64_t at, ByteView bytes) {
    while (!bytes.empty()) {
      const ssize_t put = ::pwrite(into.get(), bytes.data(), bytes.size(), static_cast<off_t>(at));
      if (put < 0 && errno == EINTR) continue;
      if (put < 0) return os_error(errno, "writing it");
      bytes = bytes.subspan(static_cast<std::size_t>(put));
      at += static_cast<std::uint64_t>(put);
    }
    return {};
  }

  /// The owner first: a new one takes setuid away.
  Result<void> finish(InodeId inode, const Attributes& row, const Fd& into) {
    const int chowned = ::fchown(into.get(), row.uid, row.gid);
    if (::fchmod(into.get(), mode_of(row, chowned)) != 0) return os_error(errno, "setting its mode");
    COFFER_TRY(const std::vector<std::string> names, parts_.tree->xattrs(inode));
    for (const std::string& name : names) {
      COFFER_TRY(const std::string value, parts_.tree->xattr(inode, name));
      // Not every file system, nor every user, can keep every one.
      (void)!::fsetxattr(into.get(), name.c_str(), value.data(), value.size(), 0);
    }
    if (::futimens(into.get(), times_of(row).data()) != 0) return os_error(errno, "setting its times");
    if (::fsync(into.get()) != 0) return os_error(errno, "syncing it");
    return {};
  }

  Result<void> finish_folders() {
    std::ranges::sort(made_folders_, std::greater<>());  // What lies deeper comes first.
    for (const std::string& path : made_folders_) {
      COFFER_TRY(const Fd made, folder(path));
      Result<InodeId> inode = parts_.tree->resolve(path);
      const Result<Attributes> row = inode ? parts_.tree->attributes(*inode) : Result<Attributes>(answer(ENOENT));
      if (row) {
        const int chowned = ::fchown(made.get(), row->uid, row->gid);
        if (::fchmod(made.get(), mode_of(*row, chowned)) != 0) return os_error(errno, to_ + path);
        if (::futimens(made.get(), times_of(*row).data()) != 0) return os_error(errno, to_ + path);
      }
      if (::fsync(made.get()) != 0) return os_error(errno, to_ + path);
    }
    if (::fsync(target_.get()) != 0) return os_error(errno, to_);
    const Fd above(::openat(target_.get(), "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (above.is_open() && ::fsync(above.get()) != 0) return os_error(errno, to_ + "/..");
    return {};
  }

  Vault::Parts& parts_;
  const std::string to_;
  Fd target_;
  ExportReport report_;
  std::vector<std::string> made_folders_;
  std::map<InodeId, std::string> first_paths_;  // Of files with several names.
};

}  // namespace

Result<std::vector<OwedEntry>> Vault::owed() {
  const Status status = parts_->status();
  const std::string why = why_owed(status);
  COFFER_TRY(std::vector<OwedEntry> entries, owed_entries(*parts_->tree, why.empty() ? "it is on its way" : why));
  for (OwedEntry& entry : entries) {
    const Result<InodeId> inode = parts_->tree->resolve(entry.path);
    if (!inode) continue;
    if (const std::optional<Error> failure = parts_->file_system->upload_failure(*inode)) {
      entry.why = failure->what;
    } else if (why.empty() && parts_->file_system->is_open_for_writing(*inode)) {
      entry.why = "it is open for writing";
    }
  }
  return entries;
}

Result<ExportReport> Vault::export_owed(const std::string& to, const ExportProgress& progress, std::stop_token stop) {
  const std::string& mountpoint = parts_->options.mountpoint;
  if (!mountpoint.empty() && (to + "/").starts_with(mountpoint + "/")) {
    return Error{Fault::refused, EINVAL, "a folder of the mount cannot take what the mount owes: give one outside it"};
  }
  // What cannot be spooled now is read from memory.
  if (const Result<void> flushed = parts_->file_system->flush_all(); !flushed) {
    log::warn("flush_failed", {{"why", flushed.error().what}});
  }
  const Mark mark = parts_->tree->mark();
  COFFER_TRY(std::vector<meta::OwedPath> owed, parts_->tree->owed_paths());
  for (const InodeId inode : parts_->file_system->not_kept()) {
    const auto is_listed = [&](const meta::OwedPath& path) { return path.inode == inode; };
    Result<std::string> path = parts_->tree->path_of(inode);
    if (!path || std::ranges::any_of(owed, is_listed)) continue;
    meta::OwedPath& only_in_memory = owed.emplace_back();
    only_in_memory.path = "/" + *path;
    only_in_memory.inode = inode;
    only_in_memory.content = true;
  }
  COFFER_TRY(ExportReport report, Export(*parts_, to).run(owed, progress, stop));
  if (!report.is_complete()) {
    COFFER_DO(forget_export(parts_->folder));
    return report;
  }
  // After a power cut a tree that was not synced goes on from an earlier Mark, and what is new then has those that were
  // exported.
  COFFER_DO(parts_->tree->power_safe());
  COFFER_TRY(const std::string id, parts_->tree->id());
  COFFER_DO(note_export(parts_->folder, id, mark.value(), to));
  return report;
}

}  // namespace coffer::vault
