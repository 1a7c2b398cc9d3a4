// What a request may hold in the server's memory, so that both sides count the same.
#pragma once

#include <cstdint>

#include "common/base/bytes.h"
#include "net/wire/frame.h"

namespace coffer::rpc {

/// Bytes that a request may hold beyond its own header and body, judged by its header: of get_chunk and get_commits
/// what they ask for, of put_chunk what it goes on from, of get_key_slots what a vault may have, else 0.
std::uint64_t further_bytes_max(wire::Type type, ByteView header);

}  // namespace coffer::rpc
