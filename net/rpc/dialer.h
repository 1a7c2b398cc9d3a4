// One attempt to reach a server.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <memory>
#include <string>

#include "common/base/result.h"
#include "net/tls/stream.h"

namespace coffer::rpc {

/// Used on one executor; made with std::make_shared.
class Dialer : public std::enable_shared_from_this<Dialer> {
 public:
  using Time = std::chrono::steady_clock::time_point;

  explicit Dialer(const boost::asio::any_io_executor& executor) : socket_(executor), timer_(executor) {}

  /// Resolves, connects to the first address that answers, and shakes hands. After it, and until in_time() is called,
  /// the stream is closed when `deadline` passes: the greeting belongs to the attempt.
  boost::asio::awaitable<Result<void>> dial(std::string host, std::uint16_t port, tls::Context context, Time deadline);
  void in_time() { timer_.cancel(); }
  /// Ends dial(), and all reads and writes of the stream.
  void abort();

  bool has_stream() const { return stream_ != nullptr; }
  tls::Stream& stream() { return *stream_; }

 private:
  boost::asio::awaitable<Result<void>> connect(std::string host, std::uint16_t port, Time deadline);
  void close_at(Time time);
  void close();

  boost::asio::ip::tcp::socket socket_;  ///< Until it is the stream's.
  boost::asio::steady_timer timer_;
  std::unique_ptr<tls::Stream> stream_;
  bool is_aborted_ = false;
};

}  // namespace coffer::rpc
