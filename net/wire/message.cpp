#include "net/wire/message.h"

#include <google/protobuf/stubs/logging.h>

#include <algorithm>
#include <cerrno>

#include "common/base/crc32c.h"
#include "common/base/limits.h"

namespace coffer::wire {

namespace {

/// FUSE takes no answer with a larger one (Linux 6.1, fs/fuse/dev.c).
constexpr int kErrnoMax = 511;

wire::Error::Reason reason_of(const coffer::Error& error) {
  switch (error.fault) {
    case Fault::answer: return wire::Error::ANSWER;
    case Fault::refused: return error.code == EDQUOT ? wire::Error::FULL : wire::Error::REFUSED;
    case Fault::full: return wire::Error::FULL;
    case Fault::corrupt: return wire::Error::CORRUPT;
    case Fault::protocol: return wire::Error::PROTOCOL;
    case Fault::local_io: return wire::Error::INTERNAL;
    case Fault::offline:
    case Fault::stopped: return wire::Error::BUSY;
  }
  return wire::Error::INTERNAL;
}

/// What a person reads: whoever wrote it must not steer the terminal.
std::string plain_ascii(std::string text) {
  for (char& c : text) {
    if (c < 0x20 || c > 0x7e) c = '?';
  }
  return text;
}

}  // namespace

bool parse_into(google::protobuf::MessageLite& message, ByteView header) {
  static const bool is_quiet = (google::protobuf::SetLogHandler(nullptr), true);
  return is_quiet && message.ParseFromArray(header.data(), static_cast<int>(header.size()));
}

Result<std::vector<object::ChunkId>> parse_ids(const std::string& field) {
  constexpr std::size_t kSize = object::ChunkId::kSize;
  if (field.size() % kSize != 0) return coffer::Error{Fault::protocol, 0, "ids of a wrong length"};
  if (field.size() / kSize > limits::kIdsPerMessageMax) return coffer::Error{Fault::protocol, 0, "too many ids"};
  std::vector<object::ChunkId> ids;
  ids.reserve(field.size() / kSize);
  for (ByteView rest = as_bytes(field); !rest.empty(); rest = rest.subspan(kSize)) {
    COFFER_TRY(const object::ChunkId id, object::ChunkId::from(rest.first(kSize)));
    ids.push_back(id);
  }
  return ids;
}

std::string join_ids(std::span<const object::ChunkId> ids) {
  std::string field;
  field.reserve(ids.size() * object::ChunkId::kSize);
  for (const object::ChunkId& id : ids) field += as_text(id.bytes());
  return field;
}

wire::Error to_wire(const coffer::Error& error) {
  wire::Error message;
  message.set_reason(reason_of(error));
  message.set_code(error.code);
  const bool is_about_server = error.fault == Fault::local_io;
  // proto3 strings must be UTF-8; a text that grew from foreign input need not be.
  std::string what = is_about_server ? "the server's storage failed" : error.what;
  message.set_what(plain_ascii(std::move(what)));
  return message;
}

coffer::Error from_wire(const wire::Error& error) {
  // The code may go on to the kernel, where 0 says that all is well, and one that it does not take answers nobody.
  const bool is_errno = error.code() >= 1 && error.code() <= kErrnoMax;
  if (error.reason() == wire::Error::ANSWER && !is_errno) {
    return {Fault::protocol, 0, "the server answered with an error that is none"};
  }
  const int code = is_errno ? error.code() : 0;
  const std::string what = "server: " + (error.what().empty() ? "no reason given" : plain_ascii(error.what()));
  switch (error.reason()) {
    case wire::Error::ANSWER: return {Fault::answer, code, what};
    case wire::Error::REFUSED: return {Fault::refused, code, what};
    case wire::Error::FULL: return {Fault::refused, code == ENOSPC ? ENOSPC : EDQUOT, what};
    case wire::Error::CORRUPT: return {Fault::corrupt, 0, what};
    case wire::Error::PROTOCOL: return {Fault::protocol, 0, what};
    case wire::Error::INTERNAL: return {Fault::offline, EIO, what};
    default: return {Fault::offline, EAGAIN, what};
  }
}

Result<std::string> parse_name(const std::string& field) {
  const auto fits = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' || c == '_' ||
           c == '-';
  };
  const bool begins_well = field.empty() || (field.front() != '.' && field.front() != '_' && field.front() != '-');
  if (field.size() <= kNameBytesMax && begins_well && std::ranges::all_of(field, fits)) return field;
  return coffer::Error{Fault::protocol, 0, "a name that is none"};
}

std::vector<std::uint32_t> block_crcs(ByteView chunk) { return crc32c_of_blocks(chunk, kCheckedBlockBytes); }

std::uint64_t good_until(ByteView chunk, std::span<const std::uint32_t> crcs) {
  if (crcs.size() != block_count(chunk.size())) return 0;
  for (std::size_t index = 0; index < crcs.size(); ++index) {
    const std::size_t at = index * kCheckedBlockBytes;
    const ByteView block = chunk.subspan(at, std::min(chunk.size() - at, kCheckedBlockBytes));
    if (crc32c(block) != crcs[index]) return at;
  }
  return 0;
}

}  // namespace coffer::wire
