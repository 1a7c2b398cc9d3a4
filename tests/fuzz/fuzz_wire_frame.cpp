// LINK: net_wire
//
// Any bytes as a frame and as the header of every message: what is read must be written the same way again, and what is
// not must be Fault::protocol.
#include <cstdint>
#include <span>

#include "common/base/check.h"
#include "net/wire/message.h"

namespace {

using namespace coffer;

void read_as_frame(ByteView bytes) {
  const auto frame = wire::decode_frame(bytes);
  if (!frame) {
    COFFER_CHECK(frame.error().fault == Fault::protocol);
    return;
  }
  const Bytes again = wire::encode_frame(frame->head.type, frame->head.request, frame->header, frame->body);
  COFFER_CHECK(std::ranges::equal(again, bytes));
}

template <class Message>
void read_as(ByteView bytes) {
  if (const auto message = wire::parse<Message>(bytes)) {
    COFFER_CHECK(wire::parse<Message>(as_bytes(message->SerializeAsString())).has_value());
  }
}

void read_as_ids(ByteView bytes) {
  const auto have = wire::parse<wire::Have>(bytes);
  if (!have) return;
  if (const auto ids = wire::parse_ids(have->ids())) COFFER_CHECK(wire::join_ids(*ids) == have->ids());
}

void read_as_checks(ByteView bytes) {
  const auto put = wire::parse<wire::PutChunk>(bytes);
  if (!put) return;
  const std::vector<std::uint32_t> crcs(put->block_crcs().begin(), put->block_crcs().end());
  COFFER_CHECK(wire::good_until(bytes, crcs) <= bytes.size());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const ByteView bytes = std::as_bytes(std::span(data, size));
  read_as_frame(bytes);
  read_as<wire::Hello>(bytes);
  read_as<wire::HelloDone>(bytes);
  read_as<wire::HaveDone>(bytes);
  read_as<wire::PutChunk>(bytes);
  read_as<wire::GetCommitsDone>(bytes);
  read_as<wire::GetKeySlotsDone>(bytes);
  read_as<wire::Enroll>(bytes);
  read_as<wire::EnrollDone>(bytes);
  read_as_ids(bytes);
  read_as_checks(bytes);
  if (const auto error = wire::parse<wire::Error>(bytes)) {
    const coffer::Error seen = wire::from_wire(*error);
    COFFER_CHECK(wire::to_wire(seen).IsInitialized());
  }
  return 0;
}
