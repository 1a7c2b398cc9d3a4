// Messages to and from the headers of frames, checked as they come in; and Errors to and from wire::Error.
//
// This header brings protobuf along: include it in .cpp files only.
#pragma once

#include <string>
#include <vector>

#include "common/base/bytes.h"
#include "common/base/result.h"
#include "common/object/ids.h"
#include "net/wire/frame.h"
#include "net/wire/protocol.pb.h"

namespace coffer::wire {

/// Chunks that one answer to a ping asks for: 64 MiB, more than a client sends before its next ping.
inline constexpr std::size_t kWantedInPingMax = 64;
inline constexpr std::size_t kNameBytesMax = 64;
/// Chunks that one append_commit brings along: what is small enough to go with the small requests.
inline constexpr std::size_t kCarriedCountMax = 16;
inline constexpr std::size_t kCarriedBytesMax = 48u << 10;

/// False if `header` is not such a message. Protobuf's own complaints do not reach the log: a stranger could fill it.
bool parse_into(google::protobuf::MessageLite& message, ByteView header);

/// Fault::protocol if `header` is not a message of this type. Unknown fields are ignored.
template <class Message>
Result<Message> parse(ByteView header) {
  Message message;
  if (!parse_into(message, header)) {
    return coffer::Error{Fault::protocol, 0, "header cannot be parsed"};
  }
  return message;
}

/// The 16 or 32 bytes of an id field. Fault::protocol for another length.
template <class Id>
Result<Id> parse_id(const std::string& field) {
  Result<Id> id = Id::from(as_bytes(field));
  if (!id) return coffer::Error{Fault::protocol, 0, "id of a wrong length"};
  return id;
}

/// Concatenated chunk ids. Fault::protocol for a length that is no multiple of 32, or for more than
/// limits::kIdsPerMessageMax.
Result<std::vector<object::ChunkId>> parse_ids(const std::string& field);
std::string join_ids(std::span<const object::ChunkId> ids);

/// A client's or a vault's name, or none: at most 64 letters, digits, '.', '_' and '-', of which the first is a letter
/// or a digit. Fault::protocol for all else, so that a name is safe in a path and on a terminal.
Result<std::string> parse_name(const std::string& field);

/// What the other side is told about `error`. Its text is printable ASCII; other characters become '?'.
///
///     Fault                          reason
///     answer                         ANSWER     with the errno
///     refused                        REFUSED    with the errno; EDQUOT: FULL
///     full                           FULL       with the errno
///     corrupt                        CORRUPT
///     protocol                       PROTOCOL
///     local_io                       INTERNAL   without the text, which may name the server's files
///     offline, stopped               BUSY
wire::Error to_wire(const coffer::Error& error);

/// What the client makes of it. The text is cleaned in the same way.
///
///     reason                         Fault
///     ANSWER                         answer     with the errno; protocol where the code is none
///     REFUSED                        refused    with the errno, 0 where the code is none
///     FULL                           refused    with EDQUOT or ENOSPC: it is the server's budget, not a local one
///     CORRUPT                        corrupt
///     PROTOCOL                       protocol
///     INTERNAL, BUSY, unknown ones   offline    EIO or EAGAIN in `code`: worth another attempt later
coffer::Error from_wire(const wire::Error& error);

/// Of a chunk that came in damaged, the check of each block says where: CRC-32C.
std::vector<std::uint32_t> block_crcs(ByteView chunk);
/// Up to where `chunk` is what `crcs` were taken of: the start of the first block that differs. 0 where none does, or
/// where they are of another chunk: then nothing is known.
std::uint64_t good_until(ByteView chunk, std::span<const std::uint32_t> crcs);

}  // namespace coffer::wire
