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

/// Without descriptors or memory (EMFILE, ENFILE, ENOBUFS) accept(2) fails at once, again and again.
/// Strangers that were told to make room, and are not gone yet.
constexpr std::size_t kSessionsLeavingMax = 64;
constexpr auto kAcceptPause = std::chrono::milliseconds(200);

std::string text_of(const tcp::endpoint& endpoint) {
  const std::string address = endpoint.address().to_string();
  const std::string port = std::to_string(endpoint.port());
  return endpoint.address().is_v6() ? "[" + address + "]:" + port : address + ":" + port;
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
      : io_(io), options_(std::move(options)), handler_(handler) {}

  Result<std::uint16_t> listen();
  std::vector<std::shared_ptr<Connection>> connections() const;
  void stop(std::chrono::milliseconds grace);
  bool is_listening() const { return acceptor_.has_value(); }

 private:
  awaitable<void> accept_all();
  void admit(tcp::socket socket, const tcp::endpoint& remote);
  void wait_until_empty(std::chrono::steady_clock::time_point deadline);

  asio::io_context& io_;
  const ServerOptions options_;
  Handler& handler_;
  std::optional<tls::Context> context_;
  std::optional<tcp::acceptor> acceptor_;  ///< After listen(), touched on its own strand.

  mutable Mutex mutex_;
  Condition ended_;
  std::map<std::uint64_t, std::shared_ptr<Connection>> connections_ GUARDED_BY(mutex_);
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
    // Strangers that connect and say nothing must not shut clients out: the oldest of them makes room.
    bool has_room = connections_.size() < options_.sessions_max;
    if (!has_room && connections_.size() < options_.sessions_max + kSessionsLeavingMax) {
      const auto stranger =
          std::ranges::find_if(connections_, [](const auto& one) { return one.second->is_stranger(); });
      has_room = stranger != connections_.end();
      if (has_room) stranger->second->abort();
    }
    if (has_room) {
      const std::uint64_t number = ++last_number_;
      connection =
          std::make_shared<Connection>(number, text_of(remote), std::move(socket), *context_, options_, handler_);
      connections_.emplace(number, connection);
    }
  }
  if (!connection) {
    log::warn("session refused", {{"remote", text_of(remote)}, {"why", "too many sessions"}});
    return;
  }
  asio::co_spawn(executor, connection->run(), [self = shared_from_this(), connection](std::exception_ptr exception) {
    if (exception) log_exception(std::move(exception));
    const MutexLock lock(self->mutex_);
    self->connections_.erase(connection->number());
    self->ended_.notify_all();
  });
}

std::vector<std::shared_ptr<Connection>> Server::State::connections() const {
  std::vector<std::shared_ptr<Connection>> all;
  const MutexLock lock(mutex_);
  all.reserve(connections_.size());
  for (const auto& [number, connection] : connections_) all.push_back(connection);
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
