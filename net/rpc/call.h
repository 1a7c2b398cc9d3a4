// One request of a Client on its way, and its answer.
#pragma once

#include <algorithm>
#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "common/base/bytes.h"
#include "common/base/limits.h"
#include "common/base/result.h"
#include "common/crypto/hash.h"
#include "net/rpc/in_flight.h"
#include "net/wire/frame.h"

namespace coffer::rpc {

struct Answer {
  Bytes header;
  Bytes body;
  std::optional<crypto::Digest> body_digest;  ///< Of a get_chunk's body.
};

/// kChunkPlainBytesTarget, and an eighth for headers and padding.
inline constexpr std::uint64_t kLikelyChunkBytes = limits::kChunkPlainBytesTarget / 8 * 9;

/// What a broken connection left of a whole chunk that was asked for.
struct Got {
  Bytes bytes;
  crypto::Sha256 hash;  ///< Of `bytes`.
};

struct Call {
  wire::Type type{};
  std::string header;
  std::shared_ptr<const Bytes> body;  ///< May be null.
  std::size_t body_offset = 0;
  bool is_bulk = false;  ///< Travels on the connections for chunks.
  std::chrono::steady_clock::time_point deadline = std::chrono::steady_clock::time_point::max();
  std::function<void(Result<Answer>)> done;  ///< Empty once it was called, and where nobody asks.

  std::uint64_t number = 0;  ///< The request id; grows in the order in which calls were made.

  // Of those that can go on in the middle: put_chunk, and get_chunk of a whole chunk.
  std::function<std::string(std::uint64_t offset)> header_at;
  bool is_unsure = false;          ///< Its connection broke: the server may have all of it, some of it, or nothing.
  bool was_begun = false;          ///< Some connection has begun to send it.
  std::uint64_t handed_bytes = 0;  ///< Of the body, from its start: what connections were given to send so far.
  unsigned wrong_offsets = 0;      ///< How often the server has named another one.
  unsigned busy_count = 0;         ///< How often the server was too busy for it.
  Got got;

  void go_on_at(std::uint64_t offset) {
    header = header_at(offset);
    if (body) body_offset = offset;
  }

  /// What it is likely to hold in the server's memory. The server counts the largest chunk until it has read the one
  /// that is asked for, which takes it a moment only; counting so here would leave a distant link empty.
  std::uint64_t cost_bytes() const {
    const std::uint64_t further_bytes = further_bytes_max(type, as_bytes(header));
    const bool is_chunk = type == wire::Type::get_chunk;
    return header.size() + (body ? body->size() - body_offset : 0) +
           (is_chunk ? std::min<std::uint64_t>(further_bytes, kLikelyChunkBytes) : further_bytes);
  }
};

using CallPtr = std::shared_ptr<Call>;

}  // namespace coffer::rpc
