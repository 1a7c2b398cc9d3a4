// Frames over a TLS stream: a queue of those that go out, and the steps in which those that come in are read.
#pragma once

#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "common/base/bytes.h"
#include "common/base/result.h"
#include "common/crypto/hash.h"
#include "net/rpc/event.h"
#include "net/tls/stream.h"
#include "net/wire/frame.h"

namespace coffer::rpc {

struct OutFrame {
  wire::Type type{};
  std::uint64_t request = 0;
  std::string header;
  std::shared_ptr<const Bytes> body;  ///< May be null; sent from where it lies.
  std::size_t body_offset = 0;
  std::function<void(std::size_t)> going;  ///< Up to where the body was given to TLS, as it goes. May be empty.
  std::function<void()> sent;  ///< Called once: after the last byte was handed on, or when that failed. May be empty.

  std::size_t body_bytes() const { return body ? body->size() - body_offset : 0; }
};

/// Used on one executor: one coroutine in write_all(), one that receives. How much may be queued is its owner's to
/// bound.
class Channel {
 public:
  explicit Channel(tls::Stream& stream) : stream_(stream), wake_(stream.socket().get_executor()) {}

  void send(OutFrame frame);
  /// write_all() sends what is queued, tells the peer that no more will come, and returns.
  void finish();
  /// Sends frames until finish(), or until the stream fails; then it closes the stream.
  boost::asio::awaitable<void> write_all();

  /// The next frame's head; its header and body are to be received (or skipped) before the next head.
  /// Fault::offline where the peer ended the connection, Fault::protocol for a head that is none.
  boost::asio::awaitable<Result<wire::Head>> receive_head();
  boost::asio::awaitable<Result<Bytes>> receive(std::size_t bytes);
  /// The same, each piece as soon as it is there, to where `next` says; `came` is told of each.
  boost::asio::awaitable<Result<void>> receive_into(std::size_t bytes, std::function<MutableByteView()> next,
                                                    std::function<void(std::size_t)> came);
  boost::asio::awaitable<Result<void>> skip(std::size_t bytes);

 private:
  boost::asio::awaitable<Result<void>> write(const OutFrame& frame);

  tls::Stream& stream_;
  Event wake_;
  std::deque<OutFrame> queue_;
  bool is_finished_ = false;
  bool is_broken_ = false;
};

}  // namespace coffer::rpc
