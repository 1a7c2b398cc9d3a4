#include "fs/ops/mountpoint.h"

#include <dirent.h>
#include <fcntl.h>
#include <spawn.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <climits>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <memory>
#include <sstream>
#include <string>
#include <string_view>

#include "fs/ops/mount.h"

namespace coffer::ops {

namespace {

Error refused(int code, std::string what) { return {Fault::refused, code, std::move(what)}; }

/// As /proc/self/mountinfo writes paths: a backslash and three octal digits for space, tab, newline and backslash.
std::string unescaped(std::string_view text) {
  std::string path;
  for (std::size_t at = 0; at < text.size(); ++at) {
    if (text[at] == '\\' && at + 3 < text.size()) {
      path += static_cast<char>((text[at + 1] - '0') * 64 + (text[at + 2] - '0') * 8 + (text[at + 3] - '0'));
      at += 3;
    } else {
      path += text[at];
    }
  }
  return path;
}

bool is_empty(const std::string& path) {
  const std::unique_ptr<DIR, int (*)(DIR*)> folder(::opendir(path.c_str()), ::closedir);
  if (!folder) return false;
  while (const dirent* entry = ::readdir(folder.get())) {
    const std::string_view name = entry->d_name;
    if (name != "." && name != "..") return false;
  }
  return true;
}

/// fusermount3 is setuid: it unmounts for the user who mounted. answer(EBUSY) while someone uses the mount; what else
/// it says is refused in its own words.
Result<void> run_fusermount(const std::string& mountpoint, bool detach) {
  const std::unique_ptr<std::FILE, int (*)(std::FILE*)> said(::fdopen(::memfd_create("fusermount3", MFD_CLOEXEC), "r"),
                                                             std::fclose);
  if (!said) return os_error(errno, "memfd_create");
  posix_spawn_file_actions_t files;
  posix_spawn_file_actions_init(&files);
  posix_spawn_file_actions_adddup2(&files, ::fileno(said.get()), STDERR_FILENO);
  std::string program = "fusermount3";
  std::string option = detach ? "-uz" : "-u";
  std::string end = "--";
  std::string path = mountpoint;
  const std::array<char*, 5> arguments{program.data(), option.data(), end.data(), path.data(), nullptr};
  pid_t pid = 0;
  const int failed = ::posix_spawnp(&pid, program.c_str(), &files, nullptr, arguments.data(), environ);
  posix_spawn_file_actions_destroy(&files);
  if (failed != 0)
    return refused(failed, "fusermount3 (package fuse3) cannot be run: " + std::string(std::strerror(failed)));
  int status = 0;
  while (::waitpid(pid, &status, 0) < 0) {
    if (errno != EINTR) return os_error(errno, "waitpid");
  }
  if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return {};
  std::rewind(said.get());
  std::array<char, 512> why{};
  if (std::fgets(why.data(), why.size(), said.get()) == nullptr) return refused(EPERM, "fusermount3 failed");
  if (std::strstr(why.data(), std::strerror(EBUSY)) != nullptr) return answer(EBUSY);
  why[std::strcspn(why.data(), "\n")] = '\0';
  return refused(EPERM, mountpoint + " cannot be unmounted: " + why.data());
}

}  // namespace

// Not opened, because that would wake systemd where it waits to mount.
bool is_dead_mount(const std::string& path) {
  struct statx found {};
  return ::statx(AT_FDCWD, path.c_str(), AT_STATX_FORCE_SYNC | AT_NO_AUTOMOUNT, STATX_TYPE, &found) != 0 &&
         errno == ENOTCONN;
}

// Of several, the topmost. Neither a dead mount nor an automount would answer if it were asked.
std::string mounted_type(const std::string& path) {
  std::ifstream mounts("/proc/self/mountinfo");  // proc_pid_mountinfo(5)
  std::string found;
  for (std::string line; std::getline(mounts, line);) {
    std::istringstream fields(line);
    std::string skipped;
    std::string mountpoint;
    fields >> skipped >> skipped >> skipped >> skipped >> mountpoint;
    if (unescaped(mountpoint) != path) continue;
    while (fields >> skipped && skipped != "-") {
    }
    fields >> found;
  }
  return found;
}

Result<void> unmount(const std::string& mountpoint, bool detach) {
  if (::umount2(mountpoint.c_str(), UMOUNT_NOFOLLOW | (detach ? MNT_DETACH : 0)) == 0) return {};
  switch (errno) {
    case EPERM: break;
    case EBUSY: return answer(EBUSY);
    case EINVAL: return answer(EINVAL);
    default: return os_error(errno, "umount");
  }
  if (mounted_type(mountpoint).empty()) return answer(EINVAL);
  return run_fusermount(mountpoint, detach);
}

Result<std::string> prepare_mountpoint(const std::string& mountpoint) {
  if (is_dead_mount(mountpoint)) {
    if (Result<void> gone = unmount(mountpoint, true); !gone) {
      return refused(ENOTCONN, mountpoint + " is a mount whose process is gone, and it cannot be unmounted; try: " +
                                   "fusermount3 -uz " + mountpoint);
    }
  }
  const std::unique_ptr<char, decltype(&std::free)> resolved(::realpath(mountpoint.c_str(), nullptr), std::free);
  if (!resolved) {
    if (errno == ENOENT) return refused(ENOENT, "mountpoint " + mountpoint + " does not exist; make it with mkdir");
    return refused(errno, "mountpoint " + mountpoint + ": " + std::strerror(errno));
  }
  std::string path = resolved.get();
  struct stat st {};
  if (::stat(path.c_str(), &st) != 0) return refused(errno, "mountpoint " + path + ": " + std::strerror(errno));
  if (!S_ISDIR(st.st_mode)) return refused(ENOTDIR, "mountpoint " + path + " is not a folder");
  const std::string type = mounted_type(path);
  if (type == "autofs") return path;  // systemd waits there for us, and would wait for itself if we looked inside.
  if (!type.empty()) {
    return refused(EBUSY, "something is mounted on " + path + " already; unmount it first, or mount elsewhere");
  }
  if (!is_empty(path)) {
    return refused(ENOTEMPTY, "mountpoint " + path + " is not an empty folder that can be read; give an empty one");
  }
  return path;
}

}  // namespace coffer::ops
