#include "fs/cli/mount_options.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <chrono>
#include <sstream>
#include <string_view>
#include <utility>

#include "common/base/text.h"
#include "fs/cli/command.h"

namespace coffer::cli {

namespace {

constexpr std::uint64_t kCacheBytesMin = 64u << 20;
constexpr std::chrono::hours kTimeMax{24};

// Handed on to the kernel or to fusermount3.
constexpr std::array<std::string_view, 12> kKernelOptions = {"allow_other", "allow_root", "nosuid",  "suid",
                                                             "nodev",       "dev",        "noexec",  "exec",
                                                             "sync",        "async",      "dirsync", "auto_unmount"};
// For mount(8) and systemd in fstab(5), or what holds anyhow: nothing to do here.
constexpr std::array<std::string_view, 13> kOthersOptions = {"defaults",
                                                             "noauto",
                                                             "auto",
                                                             "user",
                                                             "nouser",
                                                             "users",
                                                             "owner",
                                                             "group",
                                                             "nofail",
                                                             "_netdev",
                                                             "diratime",
                                                             "nostrictatime",
                                                             "default_permissions"};

bool is_in(const auto& list, std::string_view option) { return std::ranges::find(list, option) != list.end(); }

Error unknown(const std::string& option) {
  return usage(
      "unknown mount option '" + option +
      "': known are compression=zstd:3|zlib:6|none|auto, fsync=server|local, cache_size=10G, read_timeout=30s, "
      "fsync_timeout=60s, full_wait=30s, ro, rw, uid=N, gid=N, umask=022, noatime, nodiratime, relatime, strictatime, "
      "allow_other, allow_root, nosuid, nodev, noexec, suid, dev, exec, sync, dirsync, auto_unmount");
}

Result<std::chrono::milliseconds> time_of(const std::string& name, const std::string& value) {
  COFFER_TRY(const std::chrono::seconds time, parse_time(name, value));
  if (time > kTimeMax) return usage(name + " must be at most 24h");
  return std::chrono::milliseconds(time);
}

Result<std::uint32_t> parse_number(const std::string& name, const std::string& value, int base, std::uint32_t max) {
  std::uint32_t number = 0;
  const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), number, base);
  if (error == std::errc() && end == value.data() + value.size() && number <= max) return number;
  return usage(base == 8 ? name + " is an octal number such as 022, not '" + value + "'"
                         : name + " is a number such as 1000, not '" + value + "'");
}

/// Options of the form name=value. False where there is no such.
Result<bool> take_value(const std::string& name, const std::string& value, ParsedMountOptions& into) {
  constexpr std::uint32_t kIdMax = ~std::uint32_t{0} - 1;  // The last one means "no id".
  if (name == "compression") {
    Result<seal::Compression> compression = seal::parse_compression(value);
    if (!compression) return usage(compression.error().what);
    into.vault.compression = *compression;
  } else if (name == "fsync") {
    if (value != "server" && value != "local") return usage("fsync is server or local, not '" + value + "'");
    into.vault.files.fsync = value == "local" ? files::FsyncMode::local : files::FsyncMode::server;
  } else if (name == "cache_size") {
    const Result<std::uint64_t> bytes = base::parse_size(value);
    if (!bytes) return usage("cache_size is a size such as 10G, not '" + value + "'");
    if (*bytes < kCacheBytesMin) return usage("cache_size must be at least 64M");
    into.vault.cache_bytes = *bytes;
  } else if (name == "read_timeout") {
    COFFER_TRY(into.vault.files.read_timeout, time_of(name, value));
  } else if (name == "fsync_timeout") {
    COFFER_TRY(into.vault.files.fsync_timeout, time_of(name, value));
  } else if (name == "full_wait") {
    COFFER_TRY(into.vault.full_wait, time_of(name, value));
  } else if (name == "uid") {
    COFFER_TRY(into.shown.uid, parse_number(name, value, 10, kIdMax));
  } else if (name == "gid") {
    COFFER_TRY(into.shown.gid, parse_number(name, value, 10, kIdMax));
  } else if (name == "umask") {
    COFFER_TRY(into.shown.umask, parse_number(name, value, 8, 0777));
  } else if (name == "max_read" || name == "fsname") {
    into.for_kernel.push_back(name + "=" + value);
  } else {
    return false;
  }
  return true;
}

/// The kernel leaves times of access to us, but shows in /proc/mounts that there are none.
bool take_atime(const std::string& option, ParsedMountOptions& into) {
  files::FileSystemOptions& files = into.vault.files;
  if (option == "noatime") {
    files.atimes = files::Atimes::none;
  } else if (option == "relatime" || option == "atime") {
    files.atimes = files::Atimes::relative;
  } else if (option == "strictatime") {
    files.atimes = files::Atimes::always;
  } else if (option == "nodiratime") {
    files.folder_atimes = false;
  } else {
    return false;
  }
  if (option == "noatime") into.for_kernel.push_back(option);  // libfuse 3.14 knows no other of them.
  return true;
}

Result<void> take(const std::string& option, ParsedMountOptions& into) {
  if (const std::size_t equals = option.find('='); equals != std::string::npos) {
    COFFER_TRY(const bool is_known, take_value(option.substr(0, equals), option.substr(equals + 1), into));
    if (is_known) return {};
  }
  if (option == "ro" || option == "rw") {
    into.vault.read_only = option == "ro";
  } else if (is_in(kKernelOptions, option)) {
    into.for_kernel.push_back(option);
  } else if (!take_atime(option, into) && !is_in(kOthersOptions, option) && !option.starts_with("x-") &&
             !option.starts_with("X-") && !option.starts_with("comment=")) {
    return unknown(option);
  }
  return {};
}

}  // namespace

Result<ParsedMountOptions> parse_mount_options(const std::vector<std::string>& lists) {
  ParsedMountOptions options;
  for (const std::string& list : lists) {
    std::istringstream parts(list);
    for (std::string option; std::getline(parts, option, ',');) {
      if (!option.empty()) COFFER_DO(take(option, options));
    }
  }
  return options;
}

}  // namespace coffer::cli
