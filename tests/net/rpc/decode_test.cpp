#include "net/rpc/decode.h"

#include <gtest/gtest.h>

#include "common/object/key_slots.h"

namespace coffer::rpc {
namespace {

Result<std::vector<KeySlot>> slots_of(std::size_t count, std::size_t bytes) {
  wire::GetKeySlotsDone message;
  for (std::size_t i = 0; i < count; ++i) message.add_slots()->set_slot(std::string(bytes, 'x'));
  Answer answer;
  answer.header = copy_of(as_bytes(message.SerializeAsString()));
  return decode_key_slots(answer);
}

// Claim: no server makes a client keep, or try, more key slots than a vault may have.
TEST(KeySlotsOfAServer, AreBounded) {
  EXPECT_EQ(slots_of(object::kKeySlotsMax, object::kKeySlotBytesMax)->size(), object::kKeySlotsMax);
  EXPECT_EQ(slots_of(0, 0)->size(), 0u);
  EXPECT_EQ(slots_of(object::kKeySlotsMax + 1, 104).error().fault, Fault::protocol);
  EXPECT_EQ(slots_of(1, object::kKeySlotBytesMax + 1).error().fault, Fault::protocol);
}

}  // namespace
}  // namespace coffer::rpc
