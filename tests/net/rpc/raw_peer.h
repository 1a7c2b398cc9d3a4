// A peer of the server that says what the test wants it to say: raw frames over a TLS stream of its own.
#pragma once

#include <gtest/gtest.h>

#include <array>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <chrono>

#include "net/rpc/task_group.h"
#include "net/tls/stream.h"
#include "net/wire/message.h"

namespace coffer::rpc {

struct Frame {
  wire::Head head;
  Bytes header;
};

/// A peer without manners. Each call blocks.
class RawPeer {
 public:
  RawPeer(std::uint16_t port, Result<tls::Context> context, const char* from = "127.0.0.1")
      : stream_(connected(port, from), std::move(context).value(), tls::Role::client, "127.0.0.1") {}

  Result<void> handshake() { return run(stream_.handshake()); }
  Result<void> send(ByteView bytes) {
    const auto both = [](tls::Stream& stream, Bytes copy) -> boost::asio::awaitable<Result<void>> {
      COFFER_CO_DO(co_await stream.write(copy));
      co_return co_await stream.flush();
    };
    return run(both(stream_, copy_of(bytes)));
  }
  Result<void> send(wire::Type type, std::uint64_t request, ByteView header = {}, ByteView body = {}) {
    return send(wire::encode_frame(type, request, header, body));
  }
  Result<void> hello() {
    wire::Hello message;
    message.set_version_min(1);
    message.set_version_max(1);
    return send(wire::Type::hello, 1, as_bytes(message.SerializeAsString()));
  }
  Result<Frame> receive() {
    const auto whole = [](tls::Stream& stream) -> boost::asio::awaitable<Result<Frame>> {
      Frame frame;
      std::array<std::byte, wire::kHeadBytes> head;
      COFFER_CO_DO(co_await stream.read(head));
      COFFER_CO_TRY(frame.head, wire::decode_head(head));
      frame.header.resize(frame.head.header_bytes);
      COFFER_CO_DO(co_await stream.read(frame.header));
      Bytes body(frame.head.body_bytes);
      COFFER_CO_DO(co_await stream.read(body));
      co_return frame;
    };
    return run(whole(stream_));
  }
  /// The next frame must be an error.
  wire::Error receive_error() {
    const Result<Frame> frame = receive();
    if (!frame || frame->head.type != wire::Type::error) {
      ADD_FAILURE() << "no error frame: " << (frame ? "another type" : frame.error().what);
      return {};
    }
    return wire::parse<wire::Error>(frame->header).value();
  }
  bool is_ended() {
    Bytes one(1);
    const auto read = run(stream_.read(one));
    return !read;
  }
  /// As after a cable was pulled: the peer is told nothing more than that.
  void close() { stream_.close(); }
  tls::Stream& stream() { return stream_; }
  boost::asio::io_context& io() { return io_; }

 private:
  boost::asio::ip::tcp::socket connected(std::uint16_t port, const char* from) {
    boost::asio::ip::tcp::socket socket(io_.get_executor());
    socket.open(boost::asio::ip::tcp::v4());
    socket.bind(boost::asio::ip::tcp::endpoint(boost::asio::ip::make_address(from), 0));
    socket.connect(boost::asio::ip::tcp::endpoint(boost::asio::ip::make_address("127.0.0.1"), port));
    return socket;
  }
  template <class T>
  Result<T> run(boost::asio::awaitable<Result<T>> task) {
    Result<T> result = Error{Fault::stopped, 0, "did not end"};
    const auto keep = [&result](boost::asio::awaitable<Result<T>> inner) -> boost::asio::awaitable<void> {
      result = co_await std::move(inner);
    };
    TaskGroup tasks(io_.get_executor());
    tasks.start(keep(std::move(task)));
    io_.restart();
    io_.run_for(std::chrono::seconds(20));
    return result;
  }

  boost::asio::io_context io_;
  tls::Stream stream_;
};

}  // namespace coffer::rpc
