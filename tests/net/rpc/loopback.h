// A real server and real certificates on loopback, in the test's own process.
#pragma once

#include <atomic>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <chrono>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "common/base/mutex.h"
#include "common/crypto/sign.h"
#include "common/object/ids.h"
#include "common/os/clock.h"
#include "common/os/random.h"
#include "net/rpc/client.h"
#include "net/rpc/server.h"
#include "net/tls/certificate.h"
#include "net/tls/token.h"
#include "net/wire/message.h"
#include "tests/testing/temp_dir.h"

namespace coffer::rpc {

/// A CA with its files in a folder of its own.
class Ca {
 public:
  Ca();
  /// CA, certificate and key of a new client. `not_after` from now.
  ClientIdentity new_client(const object::ClientId& id, std::chrono::hours not_after = std::chrono::hours(1)) const;
  std::string sign(ByteView csr_der, const object::ClientId& id, std::chrono::hours not_after) const;
  tls::ServerFiles server_files() const;
  const tls::Authority& authority() const { return authority_; }
  crypto::Digest pin() const;
  std::string path(const std::string& name) const { return (folder_ / name).string(); }

 private:
  testing::TempDir folder_;
  tls::Authority authority_;
};

/// Keeps chunks, commits and slots in memory, as far as the tests look at them.
class MemoryHandler : public Handler {
 public:
  MemoryHandler();
  boost::asio::awaitable<Result<Reply>> handle(std::shared_ptr<Session> session, Request request) override;
  void closed(Session& session) override;

  /// Requests of this type wait inside handle() until let_go().
  void hold(wire::Type type);
  void let_go();
  /// The next request of this type fails so.
  void fail_next(wire::Type type, Error error);
  void damage(const object::ChunkId& id);  ///< Flips a byte of what is kept.
  /// So many answers to get_chunk come with a flipped byte, as from a machine with bad memory.
  void spoil_reads(unsigned count);
  std::size_t held_count() const { return held_count_; }
  std::size_t held_count_max() const { return held_count_max_; }
  std::size_t closed_count() const { return closed_count_; }
  std::size_t count(wire::Type type) const;

  const object::VaultId vault = *object::VaultId::from(Bytes(16, std::byte{7}));
  const object::ClientId client = *object::ClientId::from(Bytes(16, std::byte{9}));
  const crypto::SigningKey receipt_key;
  const Ca* ca = nullptr;  ///< Signs those who enroll.
  tls::TokenSecret token_secret{};
  bool forges_receipts = false;  ///< Signs with a key that hello did not tell.
  std::uint64_t window_requests = 32;
  std::uint64_t window_bytes = 32u << 20;

 private:
  Result<Reply> answer(Session& session, const Request& request);
  Result<Reply> put_chunk(const Request& request) REQUIRES(mutex_);
  Result<Reply> get_chunk(const Request& request) REQUIRES(mutex_);
  Result<Reply> append_commit(const Request& request) REQUIRES(mutex_);
  bool is_held(wire::Type type) const;

  mutable Mutex mutex_;
  std::map<object::ChunkId, Bytes> chunks_ GUARDED_BY(mutex_);
  unsigned reads_to_spoil_ GUARDED_BY(mutex_) = 0;
  std::vector<Bytes> commits_ GUARDED_BY(mutex_);
  std::map<std::uint64_t, std::string> slots_ GUARDED_BY(mutex_);
  std::set<wire::Type> held_ GUARDED_BY(mutex_);
  std::map<wire::Type, Error> failures_ GUARDED_BY(mutex_);
  std::map<wire::Type, std::size_t> counts_ GUARDED_BY(mutex_);
  std::atomic<std::size_t> held_count_ = 0;
  std::atomic<std::size_t> held_count_max_ = 0;
  std::atomic<std::size_t> closed_count_ = 0;
};

/// A running server; starts in the constructor.
class Loopback {
 public:
  explicit Loopback(Handler& handler, const Ca& ca, ServerOptions options = {});
  ~Loopback();
  void start();  ///< Again, on the same port.
  void stop(std::chrono::milliseconds grace = std::chrono::seconds(5));
  std::uint16_t port() const { return options_.port; }
  Server& server() { return *server_; }

 private:
  Handler& handler_;
  ServerOptions options_;
  std::unique_ptr<boost::asio::io_context> io_;
  std::vector<std::thread> threads_;
  std::unique_ptr<Server> server_;
};

/// Options for a client of `loopback` with quick retries.
ClientOptions client_options(const Loopback& loopback, const ClientIdentity& identity, const object::VaultId& vault);

inline Deadline in(std::chrono::milliseconds time) { return std::chrono::steady_clock::now() + time; }
inline Deadline soon() { return in(std::chrono::seconds(20)); }

/// Bytes that depend on `seed`, and their id.
std::shared_ptr<const Bytes> chunk_of(std::size_t bytes, unsigned seed);
object::ChunkId id_of(const Bytes& chunk);

}  // namespace coffer::rpc
