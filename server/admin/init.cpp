#include <algorithm>
#include <array>
#include <filesystem>
#include <iostream>

#include "common/base/text.h"
#include "common/os/clock.h"
#include "common/os/disk.h"
#include "common/os/random.h"
#include "server/accounts/accounts.h"
#include "server/admin/commands.h"
#include "server/admin/configuration.h"
#include "server/admin/server_certificate.h"
#include "server/admin/server_folder.h"

namespace coffer::admin {
namespace {

namespace fs = std::filesystem;

constexpr std::chrono::hours kAuthorityLifetime{24 * 365 * 20};

Error refused(std::string what) { return {Fault::refused, 0, std::move(what)}; }

/// Everything that init makes before the configuration, which comes last; each may end in ".new".
constexpr std::array kFirstFiles = {
    "tls",          "vaults", "run",    "receipt.key", "accounts.db", "accounts.db-wal", "accounts.db-shm",
    "cofferd.toml", "ca.key", "ca.pem", "server.key",  "server.pem"};

bool is_of_init(const fs::path& path) {
  std::string name = path.filename().string();
  if (name.ends_with(".new")) name.resize(name.size() - 4);
  return std::ranges::find(kFirstFiles, name) != kFirstFiles.end();
}

/// Only a folder that is not there, or is empty, or holds what an init left that was cut off, becomes a server. Nothing
/// is ever overwritten.
Result<void> check_free(const std::string& dir) {
  std::error_code code;
  const fs::file_status status = fs::status(dir, code);
  if (!fs::exists(status)) return {};
  if (!fs::is_directory(status)) return refused(dir + " is not a folder; choose another with --dir");
  if (fs::exists(dir + "/cofferd.toml", code))
    return refused("there is a server in " + dir +
                   " already, nothing was changed; start it with: cofferd serve --dir " + dir);
  bool is_free = true;
  for (const char* sub : {"", "/tls", "/vaults", "/run"}) {
    fs::directory_iterator entries(dir + sub, code);
    if (code && code != std::errc::no_such_file_or_directory) return os_error(code.value(), dir + sub);
    const bool may_hold_files = sub != std::string_view("/vaults") && sub != std::string_view("/run");
    for (const fs::directory_entry& entry : entries) is_free = is_free && may_hold_files && is_of_init(entry.path());
  }
  if (!is_free) return refused(dir + " is not empty, nothing was changed; choose a new or empty folder with --dir");
  return {};
}

/// The certificate is written last: with it there the pair is whole, and may be known to clients already.
Result<void> make_authority(const ServerFolder& folder) {
  if (fs::exists(folder.tls() + "/ca.pem")) return {};
  const tls::Authority made = tls::make_ca("Coffer server CA", tls::valid_for(os::real_clock(), kAuthorityLifetime));
  COFFER_DO(write_text(folder.tls() + "/ca.key", as_text(made.key_pem.bytes())));
  return write_text(folder.tls() + "/ca.pem", made.certificate_pem);
}

Result<void> make_receipt_key(const ServerFolder& folder) {
  if (fs::exists(folder.receipt_key())) return {};
  const auto key = crypto::SigningKey::generate(os::real_random());
  return write_text(folder.receipt_key(), base::to_hex(key.seed()) + "\n");
}

void say_what_next(const std::string& dir, const Configuration& configuration) {
  std::cout << "Made a server in " << dir << ". Clients reach it as " << configuration.hosts.front() << " port "
            << configuration.port << ".\n\nNext:\n"
            << "  cofferd serve --dir " << dir << "           runs it; or enable packaging/systemd/cofferd.service\n"
            << "  cofferd invite NAME --dir " << dir << "     prints a token for one client\n\n"
            << "Keep copies of " << dir << "/tls and " << dir << "/receipt.key in a safe place: without them clients\n"
            << "trust no server that is restored from a backup.\n";
}

}  // namespace

Result<int> init(const InitOptions& options) {
  COFFER_DO(check_free(options.dir));
  for (const std::string& host : options.hosts) {
    COFFER_DO(parse_address(host.find(':') == std::string::npos ? host : "[" + host + "]", limits::kDefaultPort));
  }
  const ServerFolder folder(options.dir);
  os::Disk& disk = os::real_disk();
  for (const std::string& path : {folder.tls(), folder.vaults(), folder.run()}) COFFER_DO(disk.make_folder(path));
  std::error_code code;
  fs::permissions(options.dir, fs::perms::owner_all, code);
  if (code) return os_error(code.value(), options.dir);

  Configuration configuration;
  configuration.hosts = options.hosts.empty() ? default_hosts() : options.hosts;
  COFFER_DO(make_authority(folder));
  COFFER_DO(make_receipt_key(folder));
  COFFER_TRY(const tls::Authority authority, folder.load_authority());
  COFFER_DO(ensure_server_certificate(folder, authority, configuration.hosts));
  COFFER_DO(accounts::Accounts::open(folder.accounts(), os::real_clock(), os::real_random()));
  // Last: a folder with a configuration is a whole server.
  COFFER_DO(write_text(folder.configuration(), configuration_text(configuration)));
  COFFER_DO(disk.sync_folder(options.dir));
  COFFER_DO(disk.sync_folder(fs::absolute(options.dir).parent_path().string()));  // Its own name, too.
  say_what_next(options.dir, configuration);
  return kExitDone;
}

}  // namespace coffer::admin
