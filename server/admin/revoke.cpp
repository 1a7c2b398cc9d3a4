#include <iostream>
#include <nlohmann/json.hpp>

#include "common/os/clock.h"
#include "common/os/random.h"
#include "server/accounts/accounts.h"
#include "server/admin/commands.h"
#include "server/admin/server_folder.h"

namespace coffer::admin {

Result<int> revoke(const RevokeOptions& options) {
  COFFER_TRY(const ServerFolder folder, ServerFolder::find(options.dir));
  COFFER_TRY(const auto accounts, accounts::Accounts::open(folder.accounts(), os::real_clock(), os::real_random()));
  COFFER_TRY(const accounts::Revoked revoked, accounts->revoke(options.name));
  if (options.json) {
    const nlohmann::json done{
        {"client", options.name}, {"revoked", revoked.client}, {"invitation_ended", revoked.invitation}};
    std::cout << done.dump(2) << "\n";
    return kExitDone;
  }
  if (revoked.invitation) std::cout << "The invitation of " << options.name << " has ended; its token opens nothing.\n";
  if (revoked.client) {
    std::cout << "Revoked " << options.name << "; its connections end within a second. Its vaults stay as they are.\n";
  }
  return kExitDone;
}

}  // namespace coffer::admin
