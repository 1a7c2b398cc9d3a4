// The server's side of the protocol: accepts connections, knows who is on the other end, and hands each request to a
// Handler. It enforces what needs no knowledge of accounts or vaults:
//
// - a certificate that does not verify fails in the handshake; a connection without one may only send enroll;
// - the first message is hello or enroll, and one that is refused ends the connection;
// - frames are within the limits of net/wire before anything is allocated for them;
// - what one connection has in flight is bounded, and what all have together: each has a share of its own for small
//   requests, larger ones stand in line for the rest (budget.h), and their connections are not read from meanwhile;
// - a request that comes in too slowly ends its connection, because what it is to fill is held for it; sooner where
//   others wait for that.
//
// Each refusal is one line in the log with the remote address, who, and why; of strangers at most 100 in 10 s.
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "common/base/bytes.h"
#include "common/base/limits.h"
#include "common/base/result.h"
#include "common/crypto/hash.h"
#include "common/object/ids.h"
#include "common/os/clock.h"
#include "net/tls/context.h"
#include "net/wire/frame.h"

namespace coffer::rpc {

/// From the certificate that the peer proved to own.
struct PeerIdentity {
  std::optional<object::ClientId> client;  ///< Of its SAN URI; none in certificates made elsewhere.
  std::string subject;
  std::string serial;  ///< Lower-case hexadecimal.
  crypto::Digest fingerprint{};
  os::WallTime not_after{};
};

/// One connection.
class Session {
 public:
  virtual ~Session() = default;

  std::uint64_t number() const { return number_; }
  const std::string& remote() const { return remote_; }              ///< "192.0.2.1:40000"
  const std::optional<PeerIdentity>& peer() const { return peer_; }  ///< None: it may only enroll.
  /// Where its requests are handled, one at a time between their co_awaits.
  virtual boost::asio::any_io_executor executor() = 0;
  /// From any thread; returns at once. An error frame with request id 0 goes out if the peer takes it within half a
  /// second; then the connection ends. Logged.
  virtual void close(Error error) = 0;
  void close(std::string reason) { close(Error{Fault::refused, 0, std::move(reason)}); }

  std::shared_ptr<void> context;  ///< The service's own state of this connection; touched on executor() only.

 protected:
  Session(std::uint64_t number, std::string remote) : number_(number), remote_(std::move(remote)) {}
  std::uint64_t number_;
  std::string remote_;
  std::optional<PeerIdentity> peer_;
};

/// Where the body of a request goes as it comes in, piece by piece. When the connection breaks before its end, the
/// object goes with what it has.
class Body {
 public:
  virtual ~Body() = default;
  /// For the next bytes: not empty while any are missing.
  virtual MutableByteView room() = 0;
  /// The first `bytes` of room() have come.
  virtual void add(std::size_t bytes) = 0;
};

struct Request {
  wire::Type type{};
  Bytes header;
  Bytes body;                       ///< Empty where the handler had its own place for it:
  std::shared_ptr<Body> body_sink;  ///< What Handler::body_of() gave.
};

struct Reply {
  wire::Type type{};
  std::string header;
  std::shared_ptr<const Bytes> body;  ///< May be null.
};

class Handler {
 public:
  virtual ~Handler() = default;
  /// Where the `body_bytes` of a put_chunk are to go, of which only the header is there; nullptr for Request::body.
  /// Runs on the session's executor; must not block. What is wrong with the request is for handle() to say.
  virtual std::shared_ptr<Body> body_of(const std::shared_ptr<Session>& /*session*/, const Request& /*request*/,
                                        std::size_t /*body_bytes*/) {
    return nullptr;
  }
  /// Answers one request. Runs on the session's executor, concurrently with other requests of the same session except
  /// that hello and enroll are finished before the next one is read; must not block there. An Error becomes an error
  /// frame; Fault::protocol, and any Error of hello or enroll, also ends the connection. A Reply of Type::error says
  /// more than an Error can, and ends nothing.
  virtual boost::asio::awaitable<Result<Reply>> handle(std::shared_ptr<Session> session, Request request) = 0;
  /// The connection is gone; on the session's executor, once for every session that handled anything. Requests may
  /// still be running: wake those that wait for something.
  virtual void closed(Session& session) = 0;
};

struct ServerOptions {
  std::string host;                           ///< Name or address; empty for all.
  std::uint16_t port = limits::kDefaultPort;  ///< 0: one that is free.
  tls::ServerFiles files;
  std::size_t sessions_max = 1024;  ///< Further ones are closed at once.
  /// As bytes_in_flight_max, of all connections together, with 128 KiB of each of `sessions_max` for small requests.
  std::uint64_t memory_bytes_max = 768u << 20;
  // Of one connection:
  std::size_t requests_in_flight_max = 32;
  std::uint64_t bytes_in_flight_max = 32u << 20;  ///< Requests being handled, and answers not yet sent.
  std::chrono::milliseconds handshake_deadline = limits::kHandshakeDeadline;  ///< Until the first message is there.
  /// A request that is coming in brings `pace_bytes_min` within each `pace_window`, or it is ended.
  std::chrono::milliseconds pace_window{60'000};
  std::uint64_t pace_bytes_min = 60u << 10;
  std::chrono::milliseconds pressed_window{10'000};  ///< The same of what it holds, while others wait for memory.
  std::chrono::milliseconds idle_deadline{60'000};   ///< Nothing came or went, and nothing is being handled.
};

/// Thread-safe. Uses, but does not run, the io_context, which any number of threads may run.
class Server {
 public:
  /// `io` and `handler` must outlive the Server.
  Server(boost::asio::io_context& io, ServerOptions options, Handler& handler);
  ~Server();  ///< stop() must have been called if listen() succeeded.
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

  /// Reads the files, binds, accepts. Returns the port. Fault::local_io, with the errno (EADDRINUSE) in `code`.
  Result<std::uint16_t> listen();
  /// Calls `each`, in the caller's thread, for every session whose handshake is over.
  void for_each_session(const std::function<void(Session&)>& each);
  std::size_t session_count() const;  ///< Those in their handshake too.
  /// Accepts no more, lets requests in flight end for up to `grace`, closes all sessions, and returns when every
  /// handle() has ended. Blocks: not from a thread that runs the io_context, which must go on running meanwhile.
  void stop(std::chrono::milliseconds grace = std::chrono::seconds(5));

 private:
  class State;
  std::shared_ptr<State> state_;
};

}  // namespace coffer::rpc
