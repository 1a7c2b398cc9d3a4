#include "fs/cli/mounted.h"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <fstream>
#include <future>
#include <memory>
#include <thread>

#include "fs/ops/mountpoint.h"
#include "fs/vault/status.h"

namespace coffer::cli {

namespace {

constexpr auto kAnswerTime = std::chrono::seconds(5);

std::string read_status(const std::string& mountpoint) {
  std::ifstream file(mountpoint + "/.coffer/status");
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

// A mount whose process is stopped answers nobody, and who asks cannot be waited for: the thread goes with the process.
std::string read_status_in_time(const std::string& mountpoint) {
  auto promise = std::make_shared<std::promise<std::string>>();
  std::future<std::string> text = promise->get_future();
  std::thread([promise, mountpoint] { promise->set_value(read_status(mountpoint)); }).detach();
  return text.wait_for(kAnswerTime) == std::future_status::ready ? text.get() : "";
}

bool is_ours(const std::string& folder) {
  struct stat found {};
  return ::stat(folder.c_str(), &found) == 0 && (::geteuid() == 0 || found.st_uid == ::geteuid());
}

}  // namespace

std::optional<vault::VaultFolder> folder_of_mount(const std::string& mountpoint) {
  if (ops::mounted_type(mountpoint) != "fuse.coffer") return std::nullopt;
  const std::optional<vault::Status> status = vault::status_from_json(read_status_in_time(mountpoint));
  if (!status || status->folder.empty() || !is_ours(status->folder)) return std::nullopt;
  vault::VaultFolder folder{status->folder};
  const std::optional<vault::Holder> holder = vault::holder_of(folder);
  if (!holder || holder->mountpoint != mountpoint) return std::nullopt;
  return folder;
}

std::optional<std::string> mountpoint_above(const std::string& path) {
  for (std::string above = path; above.size() > 1; above.resize(std::max<std::size_t>(above.rfind('/'), 1))) {
    if (ops::mounted_type(above) == "fuse.coffer") return above;
  }
  return std::nullopt;
}

}  // namespace coffer::cli
