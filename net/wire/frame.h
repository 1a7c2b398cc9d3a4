// The frames of the connection between client and server, and what each may hold. PROTOCOL.md says the rest.
//
//     at     bytes  field, little-endian
//     0      4      length         of all that follows: 16 + h + b
//     4      1      type
//     5      1      zero
//     6      2      zero
//     8      8      request        the sender of a request chooses it; its answer carries the same
//     16     4      header_bytes   h
//     20     h      header         protobuf (protocol.proto), of the message that `type` names
//     20+h   b      body           raw bytes; only in the types that have one
#pragma once

#include <array>
#include <cstdint>
#include <string_view>

#include "common/base/bytes.h"
#include "common/base/limits.h"
#include "common/base/result.h"

namespace coffer::wire {

/// A request n is answered by n | 0x80, or by error.
enum class Type : std::uint8_t {
  hello = 1,
  have = 2,
  put_chunk = 3,
  get_chunk = 4,
  verify_chunks = 5,
  append_commit = 6,
  get_commits = 7,
  acquire_lease = 8,
  renew_lease = 9,
  release_lease = 10,
  get_key_slots = 11,
  put_key_slot = 12,
  remove_key_slot = 13,
  ping = 14,
  enroll = 15,
  renew_certificate = 16,
  error = 0xff,
};

constexpr Type answer_to(Type request) { return static_cast<Type>(static_cast<std::uint8_t>(request) | 0x80u); }
/// One of the requests above, not an answer, not a number that this version does not know.
bool is_request(Type type);
/// "put_chunk"; "put_chunk answer"; "unknown".
std::string_view type_name(Type type);

inline constexpr std::size_t kHeadBytes = 20;
inline constexpr std::string_view kAlpn = "coffer/1";
inline constexpr std::uint32_t kVersion = 1;

/// The largest commit: its head, two full lists of ids, and its payload.
inline constexpr std::size_t kCommitBytesMax = 88 + 2 * 32 * limits::kIdsPerMessageMax + limits::kCommitPayloadBytesMax;
/// A put_chunk carries a check of each block of this size, so that a damaged one need not be sent again from its start.
inline constexpr std::size_t kCheckedBlockBytes = 64u << 10;
constexpr std::size_t block_count(std::size_t chunk_bytes) {
  return (chunk_bytes + kCheckedBlockBytes - 1) / kCheckedBlockBytes;
}
/// Of commits in one answer to a poll, which takes this much of the window, and of a server's memory, for as long as it
/// waits.
inline constexpr std::size_t kPolledBytesMax = 32u << 10;

/// The fixed part of a frame.
struct Head {
  Type type{};
  std::uint64_t request = 0;
  std::uint32_t header_bytes = 0;
  std::uint32_t body_bytes = 0;

  friend bool operator==(const Head&, const Head&) = default;
};

std::array<std::byte, kHeadBytes> encode(const Head& head);
/// Fault::protocol if the lengths contradict each other or exceed limits::kWireHeaderBytesMax or
/// limits::kWireBodyBytesMax, if a zero is not zero, or if there is a body where the type has none.
/// A type that is not known is no fault: it is answered.
Result<Head> decode_head(std::span<const std::byte, kHeadBytes> bytes);

/// One frame in memory; views into the bytes it was decoded from.
struct FrameView {
  Head head;
  ByteView header;
  ByteView body;
};

/// `bytes` is exactly one frame; Fault::protocol otherwise.
Result<FrameView> decode_frame(ByteView bytes);
Bytes encode_frame(Type type, std::uint64_t request, ByteView header, ByteView body);

}  // namespace coffer::wire
