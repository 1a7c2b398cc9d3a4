#include "net/rpc/in_flight.h"

#include <algorithm>

#include "common/base/limits.h"
#include "common/object/key_slots.h"
#include "net/wire/message.h"

namespace coffer::rpc {
namespace {

/// What an answer has of each slot besides its bytes.
constexpr std::uint64_t kKeySlotFieldsBytes = 32;

}  // namespace

std::uint64_t further_bytes_max(wire::Type type, ByteView header) {
  if (type == wire::Type::get_chunk) {
    const auto message = wire::parse<wire::GetChunk>(header);
    const std::uint64_t wanted = message ? message->bytes() : 0;
    return std::min<std::uint64_t>(wanted == 0 ? limits::kChunkSealedBytesMax : wanted, limits::kChunkSealedBytesMax);
  }
  if (type == wire::Type::put_chunk) {
    const auto message = wire::parse<wire::PutChunk>(header);
    return message ? std::min<std::uint64_t>(message->offset(), limits::kChunkSealedBytesMax) : 0;
  }
  if (type == wire::Type::get_commits) {
    const auto message = wire::parse<wire::GetCommits>(header);
    if (!message) return 0;
    // Counted in full, a poll would keep others out of the memory for as long as it waits.
    if (message->wait_ms() > 0) return std::min<std::uint64_t>(message->bytes_max(), wire::kPolledBytesMax);
    // One commit comes in any case.
    return std::clamp<std::uint64_t>(message->bytes_max(), wire::kCommitBytesMax, limits::kWireBodyBytesMax);
  }
  if (type == wire::Type::get_key_slots) return object::kKeySlotsMax * (object::kKeySlotBytesMax + kKeySlotFieldsBytes);
  return 0;
}

}  // namespace coffer::rpc
