#include "server/admin/new_server.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/text.h"
#include "common/os/clock.h"
#include "common/os/paths.h"
#include "common/os/random.h"
#include "server/accounts/accounts.h"
#include "server/admin/server_certificate.h"

namespace coffer::admin {
namespace {

constexpr std::chrono::hours kAuthorityLifetime{24 * 365 * 20};

Error refused(std::string what) { return {Fault::refused, 0, std::move(what)}; }

bool is_folder(os::Disk& disk, const std::string& path) { return disk.list(path).has_value(); }

/// Everything that init makes before the configuration, which comes last; each may end in ".new".
constexpr std::array kFirstFiles = {"tls",
                                    "vaults",
                                    "run",
                                    "receipt.key",
                                    "accounts.db",
                                    "accounts.db-journal",
                                    "accounts.db-wal",
                                    "accounts.db-shm",
                                    "cofferd.toml",
                                    "ca.key",
                                    "ca.pem",
                                    "server.key",
                                    "server.pem"};

bool is_of_init(std::string name) {
  if (name.ends_with(".new")) name.resize(name.size() - 4);
  return std::ranges::find(kFirstFiles, name) != kFirstFiles.end();
}

/// The certificate is written last: with it there the pair is whole, and may be known to clients already.
Result<void> make_authority(const ServerFolder& folder) {
  if (os::is_there(folder.disk(), folder.tls() + "/ca.pem")) return {};
  const tls::Authority made = tls::make_ca("Coffer server CA", tls::valid_for(os::real_clock(), kAuthorityLifetime));
  COFFER_DO(write_text(folder.tls() + "/ca.key", as_text(made.key_pem.bytes()), folder.disk()));
  return write_text(folder.tls() + "/ca.pem", made.certificate_pem, folder.disk());
}

Result<void> make_receipt_key(const ServerFolder& folder) {
  if (os::is_there(folder.disk(), folder.receipt_key())) return {};
  const auto key = crypto::SigningKey::generate(os::real_random());
  return write_text(folder.receipt_key(), base::to_hex(key.seed()) + "\n", folder.disk());
}

}  // namespace

Result<void> check_free(const ServerFolder& folder) {
  os::Disk& disk = folder.disk();
  const std::string& dir = folder.path();
  if (!os::is_there(disk, dir)) return {};
  if (!is_folder(disk, dir)) return refused(dir + " is not a folder; choose another with --dir");
  if (os::is_there(disk, folder.configuration()))
    return refused("there is a server in " + dir +
                   " already, nothing was changed; start it with: cofferd serve --dir " + dir);
  bool is_free = true;
  for (const std::string_view sub : {"", "/tls", "/vaults", "/run"}) {
    const std::string path = dir + std::string(sub);
    if (!is_folder(disk, path)) continue;
    COFFER_TRY(const std::vector<std::string> names, disk.list(path));
    const bool may_hold_files = sub != "/vaults" && sub != "/run";
    for (const std::string& name : names) is_free = is_free && may_hold_files && is_of_init(name);
  }
  if (!is_free) return refused(dir + " is not empty, nothing was changed; choose a new or empty folder with --dir");
  return {};
}

Result<void> make_server(const ServerFolder& folder, const Configuration& configuration) {
  os::Disk& disk = folder.disk();
  for (const std::string& path : {folder.tls(), folder.vaults(), folder.run()}) COFFER_DO(disk.make_folder(path));
  COFFER_DO(make_authority(folder));
  COFFER_DO(make_receipt_key(folder));
  COFFER_TRY(const tls::Authority authority, folder.load_authority());
  COFFER_DO(ensure_server_certificate(folder, authority, configuration.hosts));
  COFFER_DO(accounts::Accounts::open(folder.accounts(), os::real_clock(), os::real_random(), disk));
  return write_text(folder.configuration(), configuration_text(configuration), disk);
}

}  // namespace coffer::admin
