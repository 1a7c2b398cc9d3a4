#include "fs/vault/home.h"

#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <nlohmann/json.hpp>
#include <utility>

#include "common/base/text.h"
#include "common/os/paths.h"

namespace coffer::vault {

namespace {

constexpr std::size_t kSettingsBytesMax = 1u << 20;
constexpr std::size_t kLockBytesMax = 8192;

Error damaged(const VaultFolder& folder) {
  return {Fault::corrupt, 0,
          folder.settings() + " is damaged: remove the folder " + folder.path + " and enrol this machine again"};
}

// Throws what the json library throws.
Result<std::vector<Bytes>> slots_in(const nlohmann::json& json, const char* field) {
  std::vector<Bytes> slots;
  for (const auto& text : json.value(field, nlohmann::json::array())) {
    COFFER_TRY(Bytes slot, base::from_hex(text.get<std::string>()));
    slots.push_back(std::move(slot));
  }
  return slots;
}

std::string joined(const std::vector<std::string>& names) {
  std::string text;
  for (const std::string& name : names) text += (text.empty() ? "" : ", ") + name;
  return text;
}

// A lock of the open file description (fcntl(2)): it goes with the process, and can be asked for without being taken.
::flock whole_file(short type) {
  ::flock whole{};
  whole.l_type = type;
  whole.l_whence = SEEK_SET;
  return whole;
}

// What the lock's file says of its holder: a pid, a space, the mountpoint.
std::optional<Holder> read_holder(int fd) {
  std::string text(kLockBytesMax, '\0');
  const ssize_t got = ::pread(fd, text.data(), text.size(), 0);
  if (got <= 0) return std::nullopt;
  text.resize(static_cast<std::size_t>(got));
  const std::size_t space = text.find(' ');
  if (space == std::string::npos) return std::nullopt;
  return Holder{std::atoi(text.c_str()), text.substr(space + 1)};
}

}  // namespace

Result<VaultSettings> read_settings(const VaultFolder& folder) {
  COFFER_TRY(const Bytes bytes, os::read_file(*folder.disk, folder.settings(), kSettingsBytesMax));
  const nlohmann::json json = nlohmann::json::parse(as_text(bytes), nullptr, false);
  if (!json.is_object()) return damaged(folder);
  try {
    VaultSettings settings;
    settings.name = json.at("name").get<std::string>();
    COFFER_TRY(const Bytes id, base::from_hex(json.at("vault").get<std::string>()));
    COFFER_TRY(settings.id, object::VaultId::from(id));
    settings.server = {json.at("host").get<std::string>(), json.at("port").get<std::uint16_t>()};
    COFFER_TRY(const Bytes client, base::from_hex(json.at("client").get<std::string>()));
    COFFER_TRY(settings.client, object::ClientId::from(client));
    settings.client_name = json.value("client_name", "");
    settings.key_file = json.value("key_file", "");
    COFFER_TRY(settings.key_slots, slots_in(json, "key_slots"));
    COFFER_TRY(settings.removing_slots, slots_in(json, "removing_slots"));
    COFFER_TRY(settings.own_slots, slots_in(json, "own_slots"));
    if (json.contains("receipt_key")) {
      COFFER_TRY(const Bytes key, base::from_hex(json["receipt_key"].get<std::string>()));
      if (key.size() != settings.receipt_key.emplace().size()) return damaged(folder);
      std::ranges::copy(key, settings.receipt_key->begin());
    }
    settings.enrolled_as = json.value("enrolled_as", "");
    settings.mountpoint = json.value("mountpoint", "");
    return settings;
  } catch (const nlohmann::json::exception&) {
    return damaged(folder);
  }
}

Result<void> write_settings(const VaultFolder& folder, const VaultSettings& settings) {
  nlohmann::ordered_json json;
  json["name"] = settings.name;
  json["vault"] = settings.id.hex();
  json["host"] = settings.server.host;
  json["port"] = settings.server.port;
  json["client"] = settings.client.hex();
  json["client_name"] = settings.client_name;
  if (!settings.key_file.empty()) json["key_file"] = settings.key_file;
  if (settings.receipt_key) json["receipt_key"] = base::to_hex(*settings.receipt_key);
  json["key_slots"] = nlohmann::json::array();
  for (const Bytes& slot : settings.key_slots) json["key_slots"].push_back(base::to_hex(slot));
  for (const Bytes& slot : settings.removing_slots) json["removing_slots"].push_back(base::to_hex(slot));
  for (const Bytes& slot : settings.own_slots) json["own_slots"].push_back(base::to_hex(slot));
  if (!settings.enrolled_as.empty()) json["enrolled_as"] = settings.enrolled_as;
  if (!settings.mountpoint.empty()) json["mountpoint"] = settings.mountpoint;
  const std::string text = json.dump(2, ' ', false, nlohmann::json::error_handler_t::replace) + "\n";
  if (text.size() > kSettingsBytesMax) {
    return Error{Fault::refused, EFBIG, folder.settings() + " would be too long to be read again: it stays as it is"};
  }
  return os::replace_file(*folder.disk, folder.settings(), as_bytes(text));
}

rpc::ClientOptions client_options(const VaultFolder& folder, const VaultSettings& settings) {
  rpc::ClientOptions options;
  options.server = settings.server;
  options.identity = {folder.ca(), folder.certificate(), folder.certificate_key(), folder.disk};
  options.vault = settings.id;
  options.program = "coffer";
  return options;
}

Result<Home> Home::find(const std::string& given) {
  std::string path = given;
  const auto variable = [](const char* name) {
    const char* value = std::getenv(name);  // NOLINT(concurrency-mt-unsafe): before any thread.
    return std::string(value == nullptr ? "" : value);
  };
  if (path.empty()) path = variable("COFFER_HOME");
  if (path.empty() && !variable("XDG_DATA_HOME").empty()) path = variable("XDG_DATA_HOME") + "/coffer";
  if (path.empty() && !variable("HOME").empty()) path = variable("HOME") + "/.local/share/coffer";
  if (path.empty()) {
    return Error{Fault::refused, EINVAL, "there is no home for what coffer keeps: give --home DIR or set COFFER_HOME"};
  }
  if (path.front() != '/') {
    char* here = ::getcwd(nullptr, 0);
    if (here == nullptr) return os_error(errno, "getcwd");
    path = std::string(here) + "/" + path;
    std::free(here);  // NOLINT(cppcoreguidelines-no-malloc): getcwd(3) allocated it.
  }
  while (path.size() > 1 && path.back() == '/') path.pop_back();
  return Home(path);
}

Result<std::vector<std::string>> Home::vault_names() const {
  std::vector<std::string> names;
  if (!os::is_there(*disk_, vaults())) return names;
  COFFER_TRY(const std::vector<std::string> all, disk_->list(vaults()));
  for (const std::string& name : all) {
    if (os::is_there(*disk_, folder(name).settings())) names.push_back(name);
  }
  return names;
}

Result<VaultFolder> Home::choose(const std::string& name) const {
  COFFER_TRY(const std::vector<std::string> names, vault_names());
  if (names.empty()) {
    return Error{Fault::refused, ENOENT,
                 "this machine has no vault in " + path_ + ": run `coffer enroll TOKEN` with a token from the server"};
  }
  if (name.empty()) {
    if (names.size() == 1) return folder(names.front());
    return Error{Fault::refused, EINVAL, "there are several vaults here: choose with --vault (" + joined(names) + ")"};
  }
  if (!std::ranges::binary_search(names, name)) {
    return Error{Fault::refused, ENOENT, "there is no vault " + name + " in " + path_ + ", only " + joined(names)};
  }
  return folder(name);
}

Result<FolderLock> FolderLock::take(const VaultFolder& folder, const std::string& mountpoint) {
  const int fd = ::open(folder.lock().c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (fd < 0) return os_error(errno, "open " + folder.lock());
  ::flock whole = whole_file(F_WRLCK);
  if (::fcntl(fd, F_OFD_SETLK, &whole) != 0) {
    const int failure = errno;
    const std::optional<Holder> holder = read_holder(fd);
    ::close(fd);
    if (failure != EAGAIN && failure != EACCES) return os_error(failure, "lock " + folder.lock());
    std::string what = "this vault is in use";
    if (holder && !holder->mountpoint.empty()) what = "this vault is already mounted at " + holder->mountpoint;
    if (holder) what += " by process " + std::to_string(holder->pid);
    what += ": use that mount, or run `coffer umount` on it first";
    return Error{Fault::refused, EBUSY, std::move(what)};
  }
  FolderLock lock(fd);
  const std::string text = std::to_string(::getpid()) + " " + mountpoint;
  if (::ftruncate(fd, 0) != 0 || ::pwrite(fd, text.data(), text.size(), 0) != static_cast<ssize_t>(text.size())) {
    return os_error(errno, "write " + folder.lock());
  }
  return lock;
}

FolderLock::~FolderLock() {
  if (fd_ < 0) return;
  (void)!::ftruncate(fd_, 0);  // Before the lock goes with the descriptor: afterwards the text may be another's.
  ::close(fd_);
}

std::optional<Holder> holder_of(const VaultFolder& folder) {
  const int fd = ::open(folder.lock().c_str(), O_RDONLY | O_CLOEXEC);  // The disk may have turned read-only.
  if (fd < 0) return std::nullopt;
  std::optional<Holder> holder;
  ::flock whole = whole_file(F_WRLCK);
  if (::fcntl(fd, F_OFD_GETLK, &whole) == 0 && whole.l_type != F_UNLCK) holder = read_holder(fd).value_or(Holder{});
  ::close(fd);
  return holder;
}

}  // namespace coffer::vault
