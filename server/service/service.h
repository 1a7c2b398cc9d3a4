// Answers the requests of the protocol: checks each, asks accounts, store and log, and says what they said.
//
// Who the client is comes from its certificate alone, what it may do from the accounts: at hello, and again whenever
// the accounts change. requests.h lists the requests; each has a file.
#pragma once

#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "common/base/mutex.h"
#include "common/crypto/sign.h"
#include "common/os/clock.h"
#include "common/os/random.h"
#include "net/rpc/server.h"
#include "net/tls/certificate.h"
#include "server/accounts/accounts.h"
#include "server/service/connection.h"
#include "server/service/disk_threads.h"
#include "server/service/vault_set.h"
#include "server/store/partial_chunks.h"

namespace coffer::service {

struct ServiceOptions {
  /// Connections of one client: with the window's bytes, what one client can take of the server's memory.
  std::size_t connections_per_client_max = 16;
  unsigned window_requests = 32;           ///< As the rpc::Server has it; told in hello.
  std::uint64_t window_bytes = 12u << 20;  ///< Likewise.
  /// Bytes of one vault that wait to be written before further ones wait with their senders.
  std::uint64_t queued_bytes_max = 48u << 20;
  unsigned disk_thread_count = 4;
  store::PartialOptions partials{};
};

/// What the service stands on; all must outlive it.
struct Parts {
  accounts::Accounts& accounts;
  VaultSet& vaults;
  const tls::Authority& authority;
  const crypto::SigningKey& receipt_key;
  os::Clock& clock;
  os::Random& random;
};

/// Thread-safe.
class Service : public rpc::Handler {
 public:
  Service(Parts parts, const ServiceOptions& options);
  ~Service() override;  ///< No handle() may be running.

  boost::asio::awaitable<Result<rpc::Reply>> handle(std::shared_ptr<rpc::Session> session,
                                                    rpc::Request request) override;
  std::shared_ptr<rpc::Body> body_of(const std::shared_ptr<rpc::Session>& session, const rpc::Request& request,
                                     std::size_t body_bytes) override;
  void closed(rpc::Session& session) override;

  /// Asks the accounts about every connection again: ends those of clients that were revoked or lost their grant,
  /// tells the others what has changed. False where the accounts could not be asked about all of them: ask again
  /// soon. Blocks for the disk; not on an io thread.
  bool recheck();
  bool recheck(Connection& connection);
  /// Ends connections whose certificate has expired since they began, and lets go of parts of chunks that are too old.
  void end_expired();
  /// Ends what waits; further requests that would wait are answered at once.
  void stop();

  // For the requests.
  Parts& parts() { return parts_; }
  const ServiceOptions& options() const { return options_; }
  DiskThreads& disk() { return disk_; }
  store::PartialChunks& partials() { return *partials_; }
  bool is_stopping() const { return stopping_; }
  /// Marks the connection as begun. Fault::offline where its client has too many connections already.
  Result<void> begin(Connection& connection, Access access, std::shared_ptr<OpenVault> vault);

 private:
  std::shared_ptr<Connection> connection_of(const std::shared_ptr<rpc::Session>& session);
  std::vector<std::shared_ptr<Connection>> connections() const;

  Parts parts_;
  const ServiceOptions options_;
  const std::shared_ptr<store::PartialChunks> partials_;
  DiskThreads disk_;
  std::atomic<bool> stopping_ = false;
  mutable Mutex mutex_;
  std::map<std::uint64_t, std::shared_ptr<Connection>> connections_ GUARDED_BY(mutex_);
};

}  // namespace coffer::service
