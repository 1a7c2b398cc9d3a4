#include "fs/cli/mount_options.h"

#include <algorithm>
#include <array>
#include <sstream>
#include <string_view>
#include <utility>

#include "common/base/text.h"
#include "fs/cli/command.h"

namespace coffer::cli {

namespace {

constexpr std::uint64_t kCacheBytesMin = 64u << 20;
constexpr std::uint64_t kTimeMax = 24 * 3600;  // Seconds.

// Handed on to the kernel or to fusermount3.
constexpr std::array<std::string_view, 16> kKernelOptions = {
    "allow_other", "allow_root", "nosuid", "suid",  "nodev",      "dev",      "noexec",       "exec",
    "noatime",     "atime",      "sync",   "async", "nodiratime", "relatime", "auto_unmount", "dirsync"};
// For mount(8) and systemd in fstab(5); nothing to do here.
constexpr std::array<std::string_view, 9> kFstabOptions = {
    "rw", "defaults", "noauto", "auto", "user", "nouser", "nofail", "_netdev", "default_permissions"};

bool is_in(const auto& list, std::string_view option) { return std::ranges::find(list, option) != list.end(); }

Error unknown(const std::string& option) {
  return usage(
      "unknown mount option '" + option +
      "': known are compression=zstd:3|zlib:6|none|auto, fsync=server|local, cache_size=10G, read_timeout=30s, "
      "fsync_timeout=60s, full_wait=30s, ro, rw, allow_other, allow_root, noatime, nosuid, nodev, noexec");
}

Result<std::chrono::milliseconds> time_of(const std::string& name, const std::string& value) {
  const Result<std::uint64_t> seconds = base::parse_seconds(value);
  if (!seconds) return usage(name + " is a time such as 30s or 5m, not '" + value + "'");
  if (*seconds > kTimeMax) return usage(name + " must be at most 24h");
  return std::chrono::milliseconds(std::chrono::seconds(*seconds));
}

Result<void> take(const std::string& option, ParsedMountOptions& into) {
  const std::size_t equals = option.find('=');
  const std::string name = option.substr(0, equals);
  const std::string value = equals == std::string::npos ? "" : option.substr(equals + 1);
  if (name == "compression") {
    Result<seal::Compression> compression = seal::parse_compression(value);
    if (!compression) return usage(compression.error().what);
    into.vault.compression = *compression;
  } else if (name == "fsync") {
    if (value != "server" && value != "local") return usage("fsync is server or local, not '" + value + "'");
    into.vault.fsync_local = value == "local";
  } else if (name == "cache_size") {
    const Result<std::uint64_t> bytes = base::parse_size(value);
    if (!bytes) return usage("cache_size is a size such as 10G, not '" + value + "'");
    if (*bytes < kCacheBytesMin) return usage("cache_size must be at least 64M");
    into.vault.cache_bytes = *bytes;
  } else if (name == "read_timeout") {
    COFFER_TRY(into.vault.read_timeout, time_of(name, value));
  } else if (name == "fsync_timeout") {
    COFFER_TRY(into.vault.fsync_timeout, time_of(name, value));
  } else if (name == "full_wait") {
    COFFER_TRY(into.vault.full_wait, time_of(name, value));
  } else if (option == "ro") {
    into.vault.read_only = true;
  } else if (is_in(kKernelOptions, option) || name == "max_read" || name == "fsname") {
    into.for_kernel.push_back(option);
  } else if (!is_in(kFstabOptions, option) && !option.starts_with("x-")) {
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
