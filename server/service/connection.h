// What the service knows of one connection.
#pragma once

#include <atomic>
#include <memory>
#include <optional>
#include <set>

#include "common/base/mutex.h"
#include "net/rpc/server.h"
#include "server/accounts/records.h"
#include "server/service/vault_set.h"

namespace coffer::service {

/// What a client may do with the vault of a connection. It changes when the accounts do.
struct Access {
  accounts::Client client;
  std::optional<accounts::Grant> grant;  ///< None: the connection uses no vault.
};

/// Thread-safe.
class Connection {
 public:
  explicit Connection(std::weak_ptr<rpc::Session> session) : session_(std::move(session)) {}

  std::shared_ptr<rpc::Session> session() const { return session_.lock(); }

  /// Once, by hello.
  void begin(Access access, std::shared_ptr<OpenVault> vault);
  bool has_begun() const;
  Access access() const;
  void set_access(Access access);
  std::shared_ptr<OpenVault> vault() const;

  void close() { closed_ = true; }
  bool is_closed() const { return closed_; }

 private:
  const std::weak_ptr<rpc::Session> session_;
  std::atomic<bool> closed_ = false;
  mutable Mutex mutex_;
  bool begun_ GUARDED_BY(mutex_) = false;
  Access access_ GUARDED_BY(mutex_);
  std::shared_ptr<OpenVault> vault_ GUARDED_BY(mutex_);
};

/// The client's access to `vault` (none wanted: no grant). Fault::refused where it has none, in words that are the
/// same for a vault that does not exist.
Result<Access> access_to(accounts::Client client, const std::optional<object::VaultId>& vault);

}  // namespace coffer::service
