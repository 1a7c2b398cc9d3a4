#include "net/rpc/in_flight.h"

#include <algorithm>

#include "common/base/limits.h"
#include "net/wire/message.h"

namespace coffer::rpc {

namespace {

/// Of a get_commits that waits for the next commit: what it comes back with is usually that one. Counted in full, it
/// would keep the connection's own commits out of the window for as long as it waits.
constexpr std::uint64_t kWaitingBytesMax = 1u << 20;

}  // namespace

std::uint64_t answer_bytes_max(wire::Type type, ByteView header) {
  if (type == wire::Type::get_chunk) {
    const auto message = wire::parse<wire::GetChunk>(header);
    const std::uint64_t wanted = message ? message->bytes() : 0;
    return std::min<std::uint64_t>(wanted == 0 ? limits::kChunkSealedBytesMax : wanted, limits::kChunkSealedBytesMax);
  }
  if (type == wire::Type::get_commits) {
    const auto message = wire::parse<wire::GetCommits>(header);
    if (!message) return 0;
    const std::uint64_t bytes_max = message->wait_ms() > 0 ? kWaitingBytesMax : limits::kWireBodyBytesMax;
    return std::min<std::uint64_t>(message->bytes_max(), bytes_max);
  }
  return 0;
}

}  // namespace coffer::rpc
