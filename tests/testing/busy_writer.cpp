#include "tests/testing/busy_writer.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <utility>

#include "common/base/check.h"

namespace coffer::testing {
namespace {

constexpr std::array kNames = {"a/1", "a/2", "a/3", "a/4", "a/5", "b/1", "b/2", "b/3", "b/4", "b/5"};
constexpr std::array kFolders = {"a", "b"};
/// Beyond it a file is only overwritten or cut.
constexpr std::uint64_t kFileBytesMax = 3u << 20;
constexpr std::size_t kOpenMax = 3;
constexpr std::size_t kTraceShown = 60;

}  // namespace

BusyWriter::BusyWriter(std::string folder) : folder_(std::move(folder)) {
  for (const char* name : kFolders) COFFER_CHECK(::mkdir(path(name).c_str(), 0755) == 0);
}

void BusyWriter::start(std::uint64_t seed) {
  random_.seed(seed);
  trace_.clear();
  failure_.clear();
  stopping_ = false;
  thread_ = std::thread([this] { run(); });
}

void BusyWriter::stop() {
  stopping_ = true;
  if (thread_.joinable()) thread_.join();
  for (Open& open : open_) {
    if (failure_.empty()) close(open);
  }
  abandon();
}

void BusyWriter::abandon() {
  if (thread_.joinable()) thread_.join();
  for (const Open& open : open_) {
    if (open.fd >= 0) ::close(open.fd);
  }
  open_.clear();
}

std::string BusyWriter::trace() const {
  std::string text;
  for (std::size_t i = trace_.size() - std::min(trace_.size(), kTraceShown); i < trace_.size(); ++i) {
    text += trace_[i] + "\n";
  }
  return text;
}

bool BusyWriter::failed_by_the_kill() const {
  // Of pages that could not be written back the caller hears EIO, of a part of a mapping EFAULT.
  constexpr std::array kOfAKill = {ENOTCONN, ECONNABORTED, EIO, EFAULT, EINTR, ENODEV};
  return failure_.empty() || std::ranges::find(kOfAKill, failure_code_) != kOfAKill.end();
}

void BusyWriter::run() {
  while (!stopping_ && failure_.empty()) step();
}

void BusyWriter::step() {
  const std::uint64_t what = random_.below(100);
  if (what < 35) return edit();
  if (what < 50) return work_on_open();
  if (what < 62) return save_over();
  if (what < 70) return map();
  if (what < 78) return rename_any();
  if (what < 83) return link_any();
  if (what < 88) return unlink_any();
  if (what < 93) return truncate_any();
  if (what < 97) return sync_any();
  sync_folder();
}

/// Notes how a call ended; false from the first failure on.
bool BusyWriter::answered(long result, const std::string& call) {
  if (result < 0) {
    failure_code_ = errno;
    failure_ = call + ": " + std::strerror(failure_code_);
  }
  trace_.push_back(result < 0 ? failure_ : call);
  return result >= 0;
}

// ---- one file ----------------------------------------------------------------------------------------------------

BusyWriter::Open BusyWriter::open_new() {
  const std::string name = free_name();
  if (name.empty()) return open_any(O_TRUNC);
  Open made{.file = std::make_shared<FileHistory>()};
  oracle_.will_change({{name, made.file}});
  made.fd = ::open(path(name).c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
  if (answered(made.fd, "create " + name + " = file " + std::to_string(made.file->number()))) oracle_.changed();
  return made;
}

BusyWriter::Open BusyWriter::open_any(int flags) {
  const std::string name = any_name();
  if (name.empty()) return {};
  Open opened{
      .file = oracle_.names().at(name), .appends = (flags & O_APPEND) != 0, .syncs = (flags & O_SYNC) == O_SYNC};
  if ((flags & O_TRUNC) != 0) opened.file->will_truncate(0);
  opened.fd = ::open(path(name).c_str(), O_RDWR | O_CLOEXEC | flags);
  const std::string call = std::string("open ") + name + ((flags & O_TRUNC) != 0 ? " emptied" : "");
  if (answered(opened.fd, call + " = file " + std::to_string(opened.file->number())) && (flags & O_TRUNC) != 0) {
    opened.file->truncated();
  }
  return opened;
}

void BusyWriter::write(Open& open) {
  const std::uint64_t size = open.file->now().size();
  const std::string bytes = any_bytes();
  std::uint64_t at = open.appends ? size : random_.below(std::min(size, kFileBytesMax) + 1);
  if (!open.appends && chance(5)) at = std::min(size, kFileBytesMax) + random_.below(100'000);
  open.file->will_write(at, bytes);
  const ssize_t written = ::pwrite(open.fd, bytes.data(), bytes.size(), static_cast<off_t>(at));
  const std::string call = "write file " + std::to_string(open.file->number()) + " at " + std::to_string(at) + " +" +
                           std::to_string(bytes.size()) + (open.syncs ? " O_SYNC" : "");
  if (!answered(written, call)) return;
  if (static_cast<std::size_t>(written) < bytes.size()) {
    failure_code_ = EIO;
    failure_ = call + ": only " + std::to_string(written);
  } else if (open.syncs) {
    oracle_.written_through(open.file);
  }
}

void BusyWriter::resize(Open& open) {
  const std::uint64_t bytes = random_.below(std::min(open.file->now().size() * 3 / 2, kFileBytesMax) + 1);
  open.file->will_truncate(bytes);
  if (answered(::ftruncate(open.fd, static_cast<off_t>(bytes)),
               "ftruncate file " + std::to_string(open.file->number()) + " to " + std::to_string(bytes))) {
    open.file->truncated();
  }
}

void BusyWriter::sync(Open& open) {
  const bool all = chance(50);
  const int result = all ? ::fsync(open.fd) : ::fdatasync(open.fd);
  if (answered(result, (all ? "fsync file " : "fdatasync file ") + std::to_string(open.file->number()))) {
    oracle_.committed(open.file);
  }
}

void BusyWriter::close(Open& open) {
  const int fd = std::exchange(open.fd, -1);
  if (answered(::close(fd), "close file " + std::to_string(open.file->number()))) open.file->closed();
}

void BusyWriter::change(Open& open) {
  const std::uint64_t what = random_.below(100);
  if (what < 70) {
    write(open);
  } else if (what < 82) {
    resize(open);
  } else if (what < 92) {
    sync(open);
  } else {
    Open other{.fd = ::fcntl(open.fd, F_DUPFD_CLOEXEC, 0), .file = open.file};
    close(other);  // A copy's close(2) answers for the file as much.
  }
}

void BusyWriter::edit() {
  constexpr std::array kFlags = {0, 0, O_TRUNC, O_APPEND, O_SYNC};
  Open open = chance(40) ? open_new() : open_any(kFlags[random_.below(kFlags.size())]);
  if (open.fd < 0) return;
  for (std::uint64_t left = random_.below(4); left > 0 && failure_.empty(); --left) change(open);
  if (failure_.empty() && (open_.size() == kOpenMax || chance(70))) {
    close(open);
  } else {
    open_.push_back(std::move(open));
  }
}

void BusyWriter::work_on_open() {
  if (open_.empty()) return;
  std::swap(open_[random_.below(open_.size())], open_.back());
  change(open_.back());
  if (!failure_.empty() || chance(50)) return;
  close(open_.back());
  open_.pop_back();
}

/// As editors save: a new file, written, and then renamed over the good one, sometimes before it is closed.
void BusyWriter::save_over() {
  const std::string to = any_name();
  Open open = open_new();
  if (open.fd < 0) return;
  const std::vector<std::string> names = oracle_.names_of(open.file);
  write(open);
  if (failure_.empty() && chance(30)) sync(open);
  const bool closes_first = chance(70);
  if (failure_.empty() && closes_first) close(open);
  if (failure_.empty() && !to.empty() && !names.empty()) rename(names.front(), to);
  if (failure_.empty() && !closes_first) close(open);
  if (failure_.empty() && chance(30)) sync_folder();
  if (open.fd >= 0) open_.push_back(std::move(open));
}

// ---- a mapping ---------------------------------------------------------------------------------------------------

/// Fills a part of the mapping through read(2): where the mount is gone that fails, and a store would be SIGBUS.
void BusyWriter::write_to_map(const File& file, char* map) {
  const std::uint64_t size = file->now().size();
  const std::uint64_t at = random_.below(size);
  const std::string bytes = any_bytes().substr(0, size - at);
  const int source = ::memfd_create("bytes", MFD_CLOEXEC);
  COFFER_CHECK(source >= 0 && ::write(source, bytes.data(), bytes.size()) == static_cast<ssize_t>(bytes.size()));
  file->will_write(at, bytes);
  const ssize_t got = ::pread(source, map + at, bytes.size(), 0);
  const int why = errno;
  ::close(source);
  errno = got < 0 ? why : EFAULT;
  answered(
      got == static_cast<ssize_t>(bytes.size()) ? 0 : -1,
      "map file " + std::to_string(file->number()) + " at " + std::to_string(at) + " +" + std::to_string(bytes.size()));
}

void BusyWriter::map() {
  Open open = open_any(0);
  if (open.fd < 0) return;
  const std::uint64_t size = open.file->now().size();
  if (size == 0) return close(open);
  void* const map = ::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED, open.fd, 0);
  if (!answered(map == MAP_FAILED ? -1 : 0, "mmap")) {
    open_.push_back(std::move(open));
    return;
  }
  write_to_map(open.file, static_cast<char*>(map));
  if (failure_.empty() && chance(50)) {
    close(open);  // What the mapping gets from now on, no close(2) answers for.
    if (failure_.empty() && chance(50)) write_to_map(open.file, static_cast<char*>(map));
  }
  if (failure_.empty() && chance(30)) {
    if (answered(::msync(map, size, MS_SYNC), "msync file " + std::to_string(open.file->number()))) {
      oracle_.committed(open.file);
    }
  }
  ::munmap(map, size);
  if (open.fd >= 0 && failure_.empty()) close(open);
  if (open.fd >= 0) open_.push_back(std::move(open));
}

// ---- names -------------------------------------------------------------------------------------------------------

void BusyWriter::rename(const std::string& from, const std::string& to) {
  const File moved = oracle_.names().at(from);
  const auto replaced = oracle_.names().find(to);
  // Two names of one file: rename(2) does nothing.
  const bool does_nothing = replaced != oracle_.names().end() && replaced->second == moved;
  oracle_.will_change(does_nothing ? FolderOracle::Change() : FolderOracle::Change{{from, nullptr}, {to, moved}});
  if (answered(::rename(path(from).c_str(), path(to).c_str()), "rename " + from + " to " + to)) oracle_.changed();
}

void BusyWriter::rename_any() {
  const std::string from = any_name();
  if (!from.empty()) rename(from, kNames[random_.below(kNames.size())]);
}

void BusyWriter::link_any() {
  const std::string from = any_name();
  const std::string to = free_name();
  if (from.empty() || to.empty()) return;
  oracle_.will_change({{to, oracle_.names().at(from)}});
  const int linked = ::link(path(from).c_str(), path(to).c_str());
  const int code = errno;
  struct stat seen {};
  const bool is_there = linked == 0 || ::lstat(path(from).c_str(), &seen) == 0;
  errno = code;
  const std::string found = linked == 0 ? ""
                            : is_there  ? ", which has " + std::to_string(seen.st_nlink)
                                        : ", which is gone";
  if (answered(linked, "link " + from + " as " + to + found)) oracle_.changed();
}

void BusyWriter::unlink_any() {
  const std::string name = any_name();
  if (name.empty()) return;
  oracle_.will_change({{name, nullptr}});
  if (answered(::unlink(path(name).c_str()), "unlink " + name)) oracle_.changed();
}

void BusyWriter::truncate_any() {
  const std::string name = any_name();
  if (name.empty()) return;
  const File file = oracle_.names().at(name);
  const std::uint64_t bytes = random_.below(std::min(file->now().size() * 3 / 2, kFileBytesMax) + 1);
  file->will_truncate(bytes);
  if (answered(::truncate(path(name).c_str(), static_cast<off_t>(bytes)),
               "truncate " + name + " to " + std::to_string(bytes))) {
    file->truncated();
  }
}

void BusyWriter::sync_any() {
  Open open = open_any(0);
  if (open.fd < 0) return;
  sync(open);
  if (failure_.empty()) return close(open);
  open_.push_back(std::move(open));
}

void BusyWriter::sync_folder() {
  const std::string name = kFolders[random_.below(kFolders.size())];
  const int fd = ::open(path(name).c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (!answered(fd, "open folder " + name)) return;
  if (answered(::fsync(fd), "fsync folder " + name)) oracle_.committed_in(name);
  ::close(fd);
}

// ---- choices -----------------------------------------------------------------------------------------------------

std::string BusyWriter::any_name() {
  if (oracle_.names().empty()) return {};
  return std::next(oracle_.names().begin(), static_cast<long>(random_.below(oracle_.names().size())))->first;
}

std::string BusyWriter::free_name() {
  const std::size_t first = random_.below(kNames.size());
  for (std::size_t i = 0; i < kNames.size(); ++i) {
    const std::string name = kNames[(first + i) % kNames.size()];
    if (!oracle_.names().contains(name)) return name;
  }
  return {};
}

/// Mostly new, and small; sometimes those that another file has, which the vault then does not take twice.
std::string BusyWriter::any_bytes() {
  if (const std::string name = any_name(); !name.empty() && chance(15)) {
    const std::string& others = oracle_.names().at(name)->now();
    if (!others.empty()) return others.substr(0, 1u << 20);
  }
  const std::uint64_t kind = random_.below(100);
  const std::uint64_t bytes_max = kind < 60 ? 8'000 : kind < 92 ? 200'000 : 1'500'000;
  const Bytes bytes = random_.bytes(1 + random_.below(bytes_max));
  return std::string(as_text(bytes));
}

}  // namespace coffer::testing
