// What a request may hold in the server's memory, so that both sides count the same.
#pragma once

#include <cstdint>

#include "common/base/bytes.h"
#include "net/wire/frame.h"

namespace coffer::rpc {

/// Body bytes that the answer to a request may have, judged by its header: of get_chunk and get_commits what they ask
/// for, else 0.
std::uint64_t answer_bytes_max(wire::Type type, ByteView header);

}  // namespace coffer::rpc
