// 32 secret bytes as letters and digits that tell when one of them was mistyped: what the recovery key and the key
// file have in common.
#pragma once

#include <optional>
#include <string_view>

#include "common/base/bytes.h"
#include "common/crypto/wipe.h"

namespace coffer::keys {

inline constexpr std::size_t kCheckedSecretBytes = 32;
inline constexpr std::size_t kCheckedTextBytes = 56;

/// kCheckedTextBytes characters of base32 (RFC 4648 section 6): the secret and the first three bytes of
/// SHA-256(`purpose` ‖ secret). `secret` is kCheckedSecretBytes long.
crypto::Secret to_checked_text(ByteView secret, std::string_view purpose);

/// The secret again, or nothing if `text` is not exactly what to_checked_text() gives for this purpose.
std::optional<crypto::Secret> from_checked_text(std::string_view text, std::string_view purpose);

}  // namespace coffer::keys
