// Names that client and server must agree on.
#pragma once

#include <array>
#include <compare>
#include <cstddef>
#include <cstring>
#include <functional>
#include <string>

#include "common/base/bytes.h"
#include "common/base/result.h"

namespace coffer::object {

/// A fixed number of bytes with a meaning.
template <std::size_t kBytes, class Tag>
class Id {
 public:
  static constexpr std::size_t kSize = kBytes;

  constexpr Id() = default;
  constexpr explicit Id(const std::array<std::byte, kBytes>& bytes) : bytes_(bytes) {}
  /// Fault::corrupt for another length.
  static Result<Id> from(ByteView bytes) {
    if (bytes.size() != kBytes) return Error{Fault::corrupt, 0, "id of a wrong length"};
    Id id;
    std::memcpy(id.bytes_.data(), bytes.data(), kBytes);
    return id;
  }

  ByteView bytes() const { return bytes_; }
  const std::array<std::byte, kBytes>& array() const { return bytes_; }
  /// Lower-case hexadecimal.
  std::string hex() const;
  friend auto operator<=>(const Id&, const Id&) = default;

 private:
  std::array<std::byte, kBytes> bytes_{};
};

/// SHA-256 of a chunk's sealed bytes.
using ChunkId = Id<32, struct ChunkIdTag>;
/// Random; names a vault to the server and binds sealed bytes to it.
using VaultId = Id<16, struct VaultIdTag>;
/// Random; the last part of the URI in a client's certificate.
using ClientId = Id<16, struct ClientIdTag>;
/// SHA-256 of a commit's bytes.
using CommitHash = Id<32, struct CommitHashTag>;

std::string short_hex(ByteView bytes);  ///< The first four bytes, for logs.

template <std::size_t kBytes, class Tag>
std::string Id<kBytes, Tag>::hex() const {
  static constexpr char kDigits[] = "0123456789abcdef";
  std::string text;
  for (const std::byte b : bytes_) {
    text += kDigits[std::to_integer<unsigned>(b) >> 4];
    text += kDigits[std::to_integer<unsigned>(b) & 15];
  }
  return text;
}

}  // namespace coffer::object

template <std::size_t kBytes, class Tag>
struct std::hash<coffer::object::Id<kBytes, Tag>> {
  std::size_t operator()(const coffer::object::Id<kBytes, Tag>& id) const noexcept {
    std::size_t value;  // Ids are hashes or random: any eight bytes are spread evenly.
    std::memcpy(&value, id.bytes().data(), sizeof(value));
    return value;
  }
};
