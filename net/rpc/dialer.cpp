#include "net/rpc/dialer.h"

#include <algorithm>

#include "net/rpc/event.h"
#include "net/rpc/resolve.h"

namespace coffer::rpc {

using boost::asio::awaitable;
using boost::asio::ip::tcp;
using std::chrono::steady_clock;

namespace {

/// For one address while there are others: an IPv6 route that swallows packets must not use up the whole deadline.
constexpr auto kAddressDeadline = std::chrono::seconds(3);

}  // namespace

void Dialer::close() {
  boost::system::error_code ignored;
  if (stream_) {
    stream_->close();
  } else {
    socket_.close(ignored);
  }
}

void Dialer::abort() {
  is_aborted_ = true;
  timer_.cancel();
  close();
}

void Dialer::close_at(Time time) {
  timer_.expires_at(time);
  timer_.async_wait([weak = weak_from_this()](const boost::system::error_code& code) {
    if (const auto self = weak.lock(); self && !code) self->close();
  });
}

awaitable<Result<void>> Dialer::connect(std::string host, std::uint16_t port, Time deadline) {
  COFFER_CO_TRY(const std::vector<tcp::endpoint> endpoints, co_await resolve(host, port, deadline, is_aborted_));
  std::string why = "no address";
  for (std::size_t i = 0; i < endpoints.size() && !is_aborted_ && steady_clock::now() < deadline; ++i) {
    const bool is_last = i + 1 == endpoints.size();
    boost::system::error_code failed;
    socket_.close(failed);
    close_at(is_last ? deadline : std::min<Time>(deadline, steady_clock::now() + kAddressDeadline));
    const auto [code] = co_await socket_.async_connect(endpoints[i], kTuple);
    if (!code) {
      socket_.set_option(tcp::no_delay(true), failed);
      co_return Result<void>();
    }
    why = code == boost::asio::error::operation_aborted ? "no answer" : code.message();
  }
  co_return Error{Fault::offline, 0, host + ":" + std::to_string(port) + ": " + why};
}

awaitable<Result<void>> Dialer::dial(std::string host, std::uint16_t port, tls::Context context, Time deadline) {
  COFFER_CO_DO(co_await connect(host, port, deadline));
  if (is_aborted_) co_return Error{Fault::stopped, 0, "given up"};
  stream_ = std::make_unique<tls::Stream>(std::move(socket_), std::move(context), tls::Role::client, host);
  close_at(deadline);
  co_return co_await stream_->handshake();
}

}  // namespace coffer::rpc
