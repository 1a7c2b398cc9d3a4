#include "server/service/connection.h"

#include <algorithm>
#include <cerrno>

namespace coffer::service {

void Connection::begin(Access access, std::shared_ptr<OpenVault> vault) {
  const MutexLock lock(mutex_);
  begun_ = true;
  access_ = std::move(access);
  vault_ = std::move(vault);
}

bool Connection::has_begun() const {
  const MutexLock lock(mutex_);
  return begun_;
}

Access Connection::access() const {
  const MutexLock lock(mutex_);
  return access_;
}

void Connection::set_access(Access access) {
  const MutexLock lock(mutex_);
  access_ = std::move(access);
}

std::shared_ptr<OpenVault> Connection::vault() const {
  const MutexLock lock(mutex_);
  return vault_;
}

Result<Access> access_to(accounts::Client client, const std::optional<object::VaultId>& vault) {
  Access access{.client = std::move(client), .grant = {}};
  if (!vault) return access;
  const auto& grants = access.client.grants;
  const auto found =
      std::ranges::find_if(grants, [&](const accounts::Grant& grant) { return grant.vault.id == *vault; });
  if (found == grants.end()) return Error{Fault::refused, EACCES, "there is no such vault for this client"};
  access.grant = *found;
  return access;
}

}  // namespace coffer::service
