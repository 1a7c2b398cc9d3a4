#include <iostream>
#include <nlohmann/json.hpp>

#include "common/os/clock.h"
#include "common/os/random.h"
#include "server/accounts/accounts.h"
#include "server/admin/commands.h"
#include "server/admin/server_folder.h"

namespace coffer::admin {

Result<int> grant(const GrantOptions& options) {
  COFFER_TRY(const ServerFolder folder, ServerFolder::find(options.dir));
  COFFER_TRY(const auto accounts, accounts::Accounts::open(folder.accounts(), os::real_clock(), os::real_random()));
  COFFER_DO(accounts->grant(options.name, options.vault, options.read_only));
  if (options.json) {
    const nlohmann::json done{{"client", options.name}, {"vault", options.vault}, {"read_only", options.read_only}};
    std::cout << done.dump(2) << "\n";
  } else {
    std::cout << options.name << " may now " << (options.read_only ? "read " : "read and write ") << options.vault
              << "; to open it, the client needs the vault's key file or passphrase too.\n";
  }
  return kExitDone;
}

}  // namespace coffer::admin
