#include "net/wire/frame.h"

#include <cstring>

namespace coffer::wire {

namespace {

constexpr std::uint8_t kAnswerBit = 0x80;
/// The length field counts everything behind itself.
constexpr std::size_t kLengthBytes = 4;
constexpr std::size_t kRestOfHeadBytes = kHeadBytes - kLengthBytes;

Error broken(std::string_view what) { return Error{Fault::protocol, 0, std::string("frame: ").append(what)}; }

std::string_view request_name(Type type) {
  switch (type) {
    case Type::hello: return "hello";
    case Type::have: return "have";
    case Type::put_chunk: return "put_chunk";
    case Type::get_chunk: return "get_chunk";
    case Type::verify_chunks: return "verify_chunks";
    case Type::append_commit: return "append_commit";
    case Type::get_commits: return "get_commits";
    case Type::acquire_lease: return "acquire_lease";
    case Type::renew_lease: return "renew_lease";
    case Type::release_lease: return "release_lease";
    case Type::get_key_slots: return "get_key_slots";
    case Type::put_key_slot: return "put_key_slot";
    case Type::remove_key_slot: return "remove_key_slot";
    case Type::ping: return "ping";
    case Type::enroll: return "enroll";
    case Type::renew_certificate: return "renew_certificate";
    case Type::error: break;
  }
  return "";
}

/// A type that is not known may have a body: it is skipped, so that later versions can have more types.
bool may_have_body(Type type) {
  if (type == Type::put_chunk || type == Type::append_commit) return true;
  if (type == answer_to(Type::get_chunk) || type == answer_to(Type::get_commits)) return true;
  return type_name(type) == "unknown";
}

}  // namespace

bool is_request(Type type) { return !request_name(type).empty(); }

std::string_view type_name(Type type) {
  static constexpr std::string_view kAnswers[] = {
      "hello answer",           "have answer",          "put_chunk answer",     "get_chunk answer",
      "verify_chunks answer",   "append_commit answer", "get_commits answer",   "acquire_lease answer",
      "renew_lease answer",     "release_lease answer", "get_key_slots answer", "put_key_slot answer",
      "remove_key_slot answer", "ping answer",          "enroll answer",        "renew_certificate answer"};
  if (type == Type::error) return "error";
  if (is_request(type)) return request_name(type);
  const auto number = static_cast<std::uint8_t>(type);
  const std::size_t index = (number ^ kAnswerBit) - 1u;
  if ((number & kAnswerBit) != 0 && index < std::size(kAnswers)) return kAnswers[index];
  return "unknown";
}

std::array<std::byte, kHeadBytes> encode(const Head& head) {
  std::array<std::byte, kHeadBytes> bytes{};
  const auto length = static_cast<std::uint32_t>(kRestOfHeadBytes + head.header_bytes + head.body_bytes);
  std::memcpy(bytes.data(), &length, sizeof(length));
  bytes[4] = static_cast<std::byte>(head.type);
  std::memcpy(bytes.data() + 8, &head.request, sizeof(head.request));
  std::memcpy(bytes.data() + 16, &head.header_bytes, sizeof(head.header_bytes));
  return bytes;
}

Result<Head> decode_head(std::span<const std::byte, kHeadBytes> bytes) {
  Reader reader(bytes);
  COFFER_TRY(const std::uint32_t length, reader.get<std::uint32_t>());
  COFFER_TRY(const std::uint8_t type, reader.get<std::uint8_t>());
  COFFER_TRY(const std::uint8_t zero, reader.get<std::uint8_t>());
  COFFER_TRY(const std::uint16_t zeros, reader.get<std::uint16_t>());
  Head head{.type = static_cast<Type>(type)};
  COFFER_TRY(head.request, reader.get<std::uint64_t>());
  COFFER_TRY(head.header_bytes, reader.get<std::uint32_t>());
  if (zero != 0 || zeros != 0) return broken("a zero is not zero");
  if (length < kRestOfHeadBytes) return broken("too short");
  if (head.header_bytes > length - kRestOfHeadBytes) return broken("header longer than the frame");
  if (head.header_bytes > limits::kWireHeaderBytesMax) return broken("header too long");
  head.body_bytes = static_cast<std::uint32_t>(length - kRestOfHeadBytes - head.header_bytes);
  if (head.body_bytes > limits::kWireBodyBytesMax) return broken("body too long");
  if (head.body_bytes > 0 && !may_have_body(head.type)) return broken("body where there is none");
  return head;
}

Result<FrameView> decode_frame(ByteView bytes) {
  if (bytes.size() < kHeadBytes) return broken("ends early");
  COFFER_TRY(const Head head, decode_head(bytes.first<kHeadBytes>()));
  const ByteView rest = bytes.subspan(kHeadBytes);
  if (rest.size() != std::size_t{head.header_bytes} + head.body_bytes) return broken("of another length than it says");
  return FrameView{head, rest.first(head.header_bytes), rest.subspan(head.header_bytes)};
}

Bytes encode_frame(Type type, std::uint64_t request, ByteView header, ByteView body) {
  const auto head = encode(Head{.type = type,
                                .request = request,
                                .header_bytes = static_cast<std::uint32_t>(header.size()),
                                .body_bytes = static_cast<std::uint32_t>(body.size())});
  Bytes frame;
  frame.reserve(head.size() + header.size() + body.size());
  append(frame, head);
  append(frame, header);
  append(frame, body);
  return frame;
}

}  // namespace coffer::wire
