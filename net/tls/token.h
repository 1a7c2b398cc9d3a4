// The one-time token that `cofferd invite` prints and `coffer enroll` takes.
//
// "coffer1." and then, in base32 (RFC 4648 section 6, upper case, no padding):
//
//     at     bytes  field, little-endian
//     0      1      host_bytes     n: 1 … 253
//     1      n      host           name or IP address, ASCII
//     1+n    2      port
//     3+n    8      expires        seconds since 1970, UTC
//     11+n   32     ca_pin         SHA-256 of the CA's certificate (DER)
//     43+n   32     secret
//     75+n   8      checksum       the first bytes of the SHA-256 of "coffer1." and all before it
//
// The checksum tells a token that was copied wrongly from one that the server does not know any more.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>

#include "common/base/result.h"
#include "common/crypto/hash.h"
#include "common/os/clock.h"

namespace coffer::tls {

using TokenSecret = std::array<std::byte, 32>;

struct Token {
  std::string host;
  std::uint16_t port = 0;
  os::WallTime expires{};  ///< Whole seconds.
  crypto::Digest ca_pin{};
  TokenSecret secret{};
};

/// `token.host` is 1 … 253 bytes long.
std::string encode(const Token& token);
/// Takes either case, and white space around it. Fault::refused, with a text for the user, if it is not a whole and
/// unchanged token. Whether it has expired is the server's to say.
Result<Token> decode_token(std::string_view text);

}  // namespace coffer::tls
