// The client's side of the protocol: requests go out over a few connections that dial by themselves.
//
// One network thread owns all sockets. Small requests (leases, commits, have, ping) have a connection of their own, so
// that none waits behind megabytes of chunks; the others are opened when there are chunks to carry.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <future>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "common/base/bytes.h"
#include "common/base/result.h"
#include "common/crypto/sign.h"
#include "common/object/commit.h"
#include "common/object/ids.h"
#include "common/os/random.h"
#include "net/rpc/answers.h"
#include "net/tls/context.h"
#include "net/tls/token.h"

namespace coffer::rpc {

struct Endpoint {
  std::string host;
  std::uint16_t port = 0;
};

using ClientIdentity = tls::ClientIdentity;

/// When a silent connection is asked, and when it is given up.
struct Keepalive {
  // Together half of limits::kReadTimeout: a reader whose connection died without a word still gets its bytes in time.
  std::chrono::milliseconds idle{5'000};   ///< Nothing came for this long: ping.
  std::chrono::milliseconds lost{10'000};  ///< Nothing came, and nothing more could be sent, for this long after.
};

struct ClientOptions {
  Endpoint server;
  ClientIdentity identity;  ///< Files are read again at every dial.
  object::VaultId vault;    ///< Zeros for none.
  unsigned connections = 4;
  std::string program;  ///< "coffer 0.1.0", for the server's log.
  Keepalive keepalive{};
  std::chrono::milliseconds retry_min{100};
  std::chrono::milliseconds retry_max{10'000};    ///< Also between attempts while refused.
  std::chrono::milliseconds waited_retry{1'000};  ///< The most between the starts of two attempts while somebody waits.
};

/// refused: the server does not accept our certificate (revoked, expired, unknown CA) or we not its.
enum class Link { connecting, online, offline, refused };

template <class T>
using Done = std::function<void(Result<T>)>;
using Deadline = std::chrono::steady_clock::time_point;

class ClientCore;

/// Thread-safe.
///
/// A Done is called exactly once, on the network thread (or, after stop(), by the caller's own thread); it must not
/// block, and may make further requests. A request made while there is no connection waits for one until its deadline
/// and then fails with Fault::offline; with Fault::refused at once while the link is refused. A request whose
/// connection breaks is sent again on another one within its deadline: every request may be repeated, append_commit of
/// the same bytes returns the same receipt. A chunk whose connection broke goes on at the byte, in both directions: of
/// one that is sent the server is asked first how much of it has arrived. What the server says in an error is mapped as
/// net/wire/message.h says.
class Client {
 public:
  /// Nothing is dialled before start(). `random` (for the jitter) must outlive the Client.
  explicit Client(ClientOptions options, os::Random& random);
  ~Client();  ///< stop().
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;

  void start();
  /// Every Done that was not called yet gets Fault::stopped; the thread is joined. Not from a Done. Twice is harmless.
  void stop();

  Link link() const;
  std::string why() const;  ///< Why it is not online, for a person; empty while online.
  /// Called on the network thread after each change; set before start().
  void on_link_change(std::function<void(Link)> callback);
  std::optional<ServerFacts> facts() const;  ///< From the last hello.
  /// Blocks. Fault::offline at the deadline, Fault::refused at once where refused, both with why() in `what`.
  Result<void> wait_online(Deadline deadline);
  /// Somebody waits for the server from now on, or one fewer does; counted. While anyone does, pauses between attempts
  /// are at most `waited_retry` long, one that is under way too; but those while refused.
  void somebody_waits(bool begins);

  void have(std::vector<object::ChunkId> ids, Deadline deadline, Done<std::vector<HaveState>> done);
  /// Sends the bytes from `offset` on, which have() told, or from where the server says that it goes on.
  /// Fault::corrupt where the server found that they do not match `id`: have() tells how much of them was good.
  void put_chunk(const object::ChunkId& id, std::shared_ptr<const Bytes> sealed, std::uint64_t offset,
                 Deadline deadline, Done<PutChunkDone> done);
  /// The whole chunk, its SHA-256 checked: asked for up to three times, then Fault::corrupt on a mismatch.
  /// answer(ENOENT) where the server has none.
  void get_chunk(const object::ChunkId& id, Deadline deadline, Done<Bytes> done);
  void verify_chunks(std::vector<object::ChunkId> ids, Deadline deadline, Done<std::vector<VerifyState>> done);
  /// The receipt's signature, vault and hash are checked: Fault::corrupt where they do not hold. `carried`: chunks that
  /// the commit adds and the server need not have yet, at most carried_bytes_max() and wire::kCarriedCountMax of them.
  void append_commit(Bytes commit, std::span<const std::shared_ptr<const Bytes>> carried, Deadline deadline,
                     Done<object::Receipt> done);
  void append_commit(Bytes commit, Deadline deadline, Done<object::Receipt> done) {
    append_commit(std::move(commit), {}, deadline, std::move(done));
  }
  /// As the server said it last; 0 before that, and where it takes none.
  std::size_t carried_bytes_max() const;
  /// Commits from `from_seq` on, at least one where there is one, about `bytes_max` bytes of them. Where there is none
  /// the server waits up to `wait`; leave room for it in the deadline.
  void get_commits(std::uint64_t from_seq, std::uint64_t bytes_max, std::chrono::milliseconds wait, Deadline deadline,
                   Done<CommitPage> done);
  void acquire_lease(bool force, Deadline deadline, Done<LeaseGrant> done);
  void renew_lease(std::uint64_t epoch, Deadline deadline, Done<std::chrono::milliseconds> done);
  void release_lease(std::uint64_t epoch, Deadline deadline, Done<void> done);
  void get_key_slots(Deadline deadline, Done<std::vector<KeySlot>> done);
  /// The new slot's number. `only_if_first`: answer(EEXIST) or Fault::refused with EEXIST where the vault has one.
  void put_key_slot(Bytes slot, bool only_if_first, Deadline deadline, Done<std::uint64_t> done);
  void remove_key_slot(std::uint64_t number, Deadline deadline, Done<void> done);
  void ping(Deadline deadline, Done<VaultState> done);
  void renew_certificate(Bytes csr_der, Deadline deadline, Done<RenewedCertificate> done);
  /// Dials anew with what the identity's files hold now; requests in flight are sent again.
  void reload_identity();

  std::uint64_t bytes_sent() const;      ///< On the wire, since start().
  std::uint64_t bytes_received() const;  ///< On the wire, since start().
  /// Bytes of chunks that connections were given to send, since start().
  std::uint64_t chunk_bytes_sent() const;
  /// Of these, such as a broken connection had been given before: it lost them on the way.
  std::uint64_t chunk_bytes_sent_again() const;

 private:
  std::unique_ptr<ClientCore> core_;
};

/// Blocks until Done: `Result<Bytes> r = rpc::wait<Bytes>([&](auto done) { client.get_chunk(id, deadline, done); });`
/// Not from the network thread.
template <class T, class Start>
Result<T> wait(Start&& start) {
  auto promise = std::make_shared<std::promise<Result<T>>>();
  std::future<Result<T>> future = promise->get_future();
  std::forward<Start>(start)(Done<T>([promise](Result<T> result) { promise->set_value(std::move(result)); }));
  return future.get();
}

struct Enrolled {
  std::string certificate_pem;
  std::string ca_pem;
  object::ClientId client;
  std::string client_name;
  VaultState vault;
};

/// Turns a token into a certificate for the key of `csr_der`. Blocks; uses a connection of its own.
///
/// Fault::offline where the server cannot be reached; Fault::refused for a token that it does not accept, a server
/// whose CA does not match the pin, or one whose certificate is not for the token's host.
Result<Enrolled> enroll(const tls::Token& token, ByteView csr_der, const std::string& program, Deadline deadline);

}  // namespace coffer::rpc
