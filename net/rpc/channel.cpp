#include "net/rpc/channel.h"

#include <algorithm>
#include <array>

#include "common/base/check.h"

namespace coffer::rpc {

using boost::asio::awaitable;

namespace {

/// Bytes that are hashed while they are still in the processor's cache, and before other coroutines of the thread wait
/// long.
constexpr std::size_t kStepBytes = 256u << 10;
/// Bytes of a body that are given to TLS at once: as much as it sends with one system call.
constexpr std::size_t kSendStepBytes = 64u << 10;

}  // namespace

void Channel::send(OutFrame frame) {
  if (is_broken_) {
    if (frame.sent) frame.sent();
    return;
  }
  queue_.push_back(std::move(frame));
  wake_.notify();
}

void Channel::finish() {
  is_finished_ = true;
  wake_.notify();
}

awaitable<Result<void>> Channel::write(const OutFrame& frame) {
  const wire::Head head{.type = frame.type,
                        .request = frame.request,
                        .header_bytes = static_cast<std::uint32_t>(frame.header.size()),
                        .body_bytes = static_cast<std::uint32_t>(frame.body_bytes())};
  Bytes start;
  start.reserve(wire::kHeadBytes + frame.header.size());
  append(start, wire::encode(head));
  append(start, as_bytes(frame.header));
  if (frame.going) frame.going(frame.body_offset);
  COFFER_CO_DO(co_await stream_.write(start));
  if (!frame.body) co_return Result<void>();
  for (std::size_t at = frame.body_offset; at < frame.body->size();) {
    const ByteView step = ByteView(*frame.body).subspan(at, std::min(kSendStepBytes, frame.body->size() - at));
    at += step.size();
    if (frame.going) frame.going(at);
    COFFER_CO_DO(co_await stream_.write(step));
  }
  co_return Result<void>();
}

awaitable<void> Channel::write_all() {
  Result<void> written;
  while (written) {
    if (queue_.empty()) {
      if (is_finished_) break;
      co_await wake_.wait();
      continue;
    }
    const OutFrame frame = std::move(queue_.front());
    queue_.pop_front();
    written = co_await write(frame);
    if (written && queue_.empty()) written = co_await stream_.flush();
    if (frame.sent) frame.sent();
  }
  is_broken_ = true;
  if (written) {
    co_await stream_.end();
    co_return;
  }
  stream_.close();
  while (!queue_.empty()) {
    const OutFrame frame = std::move(queue_.front());
    queue_.pop_front();
    if (frame.sent) frame.sent();
  }
}

awaitable<Result<wire::Head>> Channel::receive_head() {
  std::array<std::byte, wire::kHeadBytes> bytes;
  COFFER_CO_DO(co_await stream_.read(bytes));
  co_return wire::decode_head(bytes);
}

awaitable<Result<Bytes>> Channel::receive(std::size_t bytes) {
  Bytes received(bytes);
  COFFER_CO_DO(co_await stream_.read(received));
  co_return received;
}

awaitable<Result<void>> Channel::receive_into(std::size_t bytes, std::function<MutableByteView()> next,
                                              std::function<void(std::size_t)> came) {
  while (bytes > 0) {
    const MutableByteView room = next();
    COFFER_CHECK(!room.empty());
    const MutableByteView step = room.first(std::min({room.size(), bytes, kStepBytes}));
    COFFER_CO_TRY(const std::size_t received, co_await stream_.read_some(step));
    if (received == 0) co_return Error{Fault::offline, 0, "the peer ended the connection"};
    came(received);
    bytes -= received;
  }
  co_return Result<void>();
}

awaitable<Result<void>> Channel::skip(std::size_t bytes) {
  Bytes scrap(std::min(kStepBytes, bytes));
  while (bytes > 0) {
    const MutableByteView step = MutableByteView(scrap).first(std::min(scrap.size(), bytes));
    COFFER_CO_DO(co_await stream_.read(step));
    bytes -= step.size();
  }
  co_return Result<void>();
}

}  // namespace coffer::rpc
