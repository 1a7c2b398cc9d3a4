// How many key slots a vault has, and how long one is: the server stores no more, and a client takes no more from it.
// What is in one (fs/keys/key_slot.h) is nothing to the server.
#pragma once

#include <cstddef>

namespace coffer::object {

inline constexpr std::size_t kKeySlotsMax = 16;
inline constexpr std::size_t kKeySlotBytesMax = 4096;

}  // namespace coffer::object
