#include "net/rpc/server.h"

#include <algorithm>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ip/v6_only.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/strand.hpp>
#include <map>
#include <vector>

#include "common/base/check.h"
#include "common/base/log.h"
#include "common/base/mutex.h"
#include "net/rpc/connection.h"

namespace coffer::rpc {

namespace asio = boost::asio;
using asio::awaitable;
using asio::ip::tcp;
using boost::system::error_code;

namespace {

/// Strangers that were told to make room, and are not gone yet.
constexpr std::size_t kSessionsLeavingMax = 64;
/// Without descriptors or memory (EMFILE, ENFILE, ENOBUFS) accept(2) fails at once, again and again.
constexpr auto kAcceptPause = std::chrono::milliseconds(200);

std::string text_of(const tcp::endpoint& endpoint) {
  const std::string address = endpoint.address().to_string();
  const std::string port = std::to_string(endpoint.port());
  return endpoint.address().is_v6() ? "[" + address + "]:" + port : address + ":" + port;
}

/// Who is at an address, as far as it tells: of IPv6 the network, because one machine has as many addresses in it as it
/// likes.
std::string source_of(const asio::ip::address& address) {
  if (address.is_v4()) return address.to_string();
  const asio::ip::address_v6 v6 = address.to_v6();
  if (v6.is_v4_mapped()) return asio::ip::make_address_v4(asio::ip::v4_mapped, v6).to_string();
  const auto bytes = v6.to_bytes();
  return std::string(bytes.begin(), bytes.begin() + 8);
}

Error cannot_listen(const std::string& where, const error_code& code) {
  return Error{Fault::local_io, code.value(), "cannot listen on " + where + ": " + code.message()};
}

Result<tcp::acceptor> open_acceptor(const asio::any_io_executor& executor, const tcp::endpoint& endpoint) {
  tcp::acceptor acceptor(executor);
  error_code code;
  acceptor.open(endpoint.protocol(), code);
  if (!code) acceptor.set_option(tcp::acceptor::reuse_address(true), code);
  if (!code && endpoint.address().is_v6() && endpoint.address().is_unspecified()) {
    acceptor.set_option(asio::ip::v6_only(false), code);
  }
  if (!code) acceptor.bind(endpoint, code);
  if (!code) acceptor.listen(tcp::acceptor::max_listen_connections, code);
  if (code) return cannot_listen(text_of(endpoint), code);
  return acceptor;
}

Result<tcp::acceptor> open_acceptor(asio::io_context& io, const std::string& host, std::uint16_t port) {
  const asio::any_io_executor executor = asio::make_strand(io);
  if (host.empty()) {
    Result<tcp::acceptor> both = open_acceptor(executor, tcp::endpoint(tcp::v6(), port));
    if (both || both.error().code != EAFNOSUPPORT) return both;
    return open_acceptor(executor, tcp::endpoint(tcp::v4(), port));
  }
  error_code code;
  const auto found = tcp::resolver(io).resolve(host, std::to_string(port), tcp::resolver::passive, code);
  if (code || found.empty()) return cannot_listen(host, code);
  return open_acceptor(executor, found.begin()->endpoint());
}

}  // namespace

class Server::State : public std::enable_shared_from_this<Server::State> {
 public:
  State(asio::io_context& io, ServerOptions options, Handler& handler)
      : io_(io), options_(std::move(options)), handler_(handler), common_(std::make_shared<Common>(options_)) {}

  Result<std::uint16_t> listen();
  std::vector<std::shared_ptr<Connection>> connections() const;
  void stop(std::chrono::milliseconds grace);
  bool is_listening() const { return acceptor_.has_value(); }

 private:
  awaitable<void> accept_all();
  void admit(tcp::socket socket, const tcp::endpoint& remote);
  std::shared_ptr<Connection> stranger_to_go() const REQUIRES(mutex_);
  void wait_until_empty(std::chrono::steady_clock::time_point deadline);

  asio::io_context& io_;
  const ServerOptions options_;
  Handler& handler_;
  const std::shared_ptr<Common> common_;
  std::optional<tls::Context> context_;
  std::optional<tcp::acceptor> acceptor_;  ///< After listen(), touched on its own strand.

  mutable Mutex mutex_;
  Condition ended_;
  struct Admitted {
    std::shared_ptr<Connection> connection;
    std::string source;
  };
  std::map<std::uint64_t, Admitted> connections_ GUARDED_BY(mutex_);  ///< By number: the oldest first.
  std::uint64_t last_number_ GUARDED_BY(mutex_) = 0;
  bool is_accepting_ GUARDED_BY(mutex_) = false;
  bool is_stopping_ GUARDED_BY(mutex_) = false;
};

Result<std::uint16_t> Server::State::listen() {
  COFFER_TRY(context_, tls::Context::for_server(options_.files));
  COFFER_TRY(tcp::acceptor acceptor, open_acceptor(io_, options_.host, options_.port));
  acceptor_ = std::move(acceptor);
  error_code code;
  const std::uint16_t port = acceptor_->local_endpoint(code).port();
  {
    const MutexLock lock(mutex_);
    is_accepting_ = true;
  }
  asio::co_spawn(acceptor_->get_executor(), accept_all(), [self = shared_from_this()](std::exception_ptr exception) {
    if (exception) log_exception(std::move(exception));
    const MutexLock lock(self->mutex_);
    self->is_accepting_ = false;
    self->ended_.notify_all();
  });
  return port;
}

awaitable<void> Server::State::accept_all() {
  const std::shared_ptr<State> self = shared_from_this();
  Event pause(acceptor_->get_executor());
  while (acceptor_->is_open()) {
    const asio::any_io_executor executor = asio::make_strand(io_);
    tcp::socket socket(executor);
    tcp::endpoint remote;
    const auto [code] = co_await acceptor_->async_accept(socket, remote, kTuple);
    if (!code) {
      admit(std::move(socket), remote);
    } else if (acceptor_->is_open() && code != asio::error::connection_aborted) {
      log::error("cannot accept", {{"why", code.message()}});
      co_await pause.wait(std::chrono::steady_clock::now() + kAcceptPause);
    }
  }
}

void Server::State::admit(tcp::socket socket, const tcp::endpoint& remote) {
  error_code ignored;
  socket.set_option(tcp::no_delay(true), ignored);
  socket.set_option(tcp::socket::keep_alive(true), ignored);
  const asio::any_io_executor executor = socket.get_executor();
  std::shared_ptr<Connection> connection;
  {
    const MutexLock lock(mutex_);
    if (is_stopping_) return;
    // Strangers that connect and say nothing must not shut clients out: one of them makes room.
    bool has_room = connections_.size() < options_.sessions_max;
    if (!has_room && connections_.size() < options_.sessions_max + kSessionsLeavingMax) {
      const std::shared_ptr<Connection> stranger = stranger_to_go();
      has_room = stranger != nullptr;
      if (has_room) stranger->abort();
    }
    if (has_room) {
      const std::uint64_t number = ++last_number_;
      connection = std::make_shared<Connection>(number, text_of(remote), std::move(socket), *context_, options_,
                                                handler_, common_);
      connections_.emplace(number, Admitted{.connection = connection, .source = source_of(remote.address())});
    }
  }
  if (!connection) {
    common_->strangers.warn("session refused", {{"remote", text_of(remote)}, {"why", "too many sessions"}});
    return;
  }
  asio::co_spawn(executor, connection->run(), [self = shared_from_this(), connection](std::exception_ptr exception) {
    if (exception) log_exception(std::move(exception));
    const MutexLock lock(self->mutex_);
    self->connections_.erase(connection->number());
    self->ended_.notify_all();
  });
}

/// The oldest stranger of the source that has the most of them: who fills the server pushes his own out, and not a
/// client that is slow to greet.
std::shared_ptr<Connection> Server::State::stranger_to_go() const {
  struct Strangers {
    std::size_t count = 0;
    std::shared_ptr<Connection> oldest;
  };
  std::map<std::string_view, Strangers> by_source;
  for (const auto& [number, admitted] : connections_) {
    if (!admitted.connection->is_stranger()) continue;
    Strangers& strangers = by_source[admitted.source];
    if (++strangers.count == 1) strangers.oldest = admitted.connection;
  }
  const auto most = std::ranges::max_element(by_source, {}, [](const auto& one) { return one.second.count; });
  return most == by_source.end() ? nullptr : most->second.oldest;
}

std::vector<std::shared_ptr<Connection>> Server::State::connections() const {
  std::vector<std::shared_ptr<Connection>> all;
  const MutexLock lock(mutex_);
  all.reserve(connections_.size());
  for (const auto& [number, admitted] : connections_) all.push_back(admitted.connection);
  return all;
}

void Server::State::wait_until_empty(std::chrono::steady_clock::time_point deadline) {
  const MutexLock lock(mutex_);
  while (is_accepting_ || !connections_.empty()) {
    if (!ended_.wait_until(mutex_, deadline)) return;
  }
}

void Server::State::stop(std::chrono::milliseconds grace) {
  using Clock = std::chrono::steady_clock;
  {
    const MutexLock lock(mutex_);
    is_stopping_ = true;
  }
  asio::post(acceptor_->get_executor(), [self = shared_from_this()] {
    error_code ignored;
    self->acceptor_->close(ignored);
  });
  for (const auto& connection : connections()) connection->drain();
  wait_until_empty(Clock::now() + grace);
  for (const auto& connection : connections()) connection->abort();
  wait_until_empty(Clock::time_point::max());
}

Server::Server(asio::io_context& io, ServerOptions options, Handler& handler)
    : state_(std::make_shared<State>(io, std::move(options), handler)) {}
Server::~Server() = default;

Result<std::uint16_t> Server::listen() { return state_->listen(); }

void Server::for_each_session(const std::function<void(Session&)>& each) {
  for (const auto& connection : state_->connections()) {
    if (connection->is_known()) each(*connection);
  }
}

std::size_t Server::session_count() const { return state_->connections().size(); }

void Server::stop(std::chrono::milliseconds grace) {
  if (state_->is_listening()) state_->stop(grace);
}

}  // namespace coffer::rpc
