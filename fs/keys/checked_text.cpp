#include "fs/keys/checked_text.h"

#include <algorithm>
#include <string>

#include "common/base/check.h"
#include "common/base/text.h"
#include "common/crypto/hash.h"

namespace coffer::keys {
namespace {

// 32 + 3 bytes are 56 characters without a rest; a mistyped text passes once in 2^24 times.
constexpr std::size_t kChecksumBytes = 3;
constexpr std::size_t kBothBytes = kCheckedSecretBytes + kChecksumBytes;
static_assert(kBothBytes * 8 == kCheckedTextBytes * 5);

/// Secret ‖ checksum.
crypto::Secret with_checksum(ByteView secret, std::string_view purpose) {
  crypto::Secret hashed(purpose.size() + secret.size());
  std::ranges::copy(as_bytes(purpose), hashed.bytes().begin());
  std::ranges::copy(secret, hashed.bytes().begin() + purpose.size());
  const crypto::Digest digest = crypto::sha256(std::as_const(hashed).bytes());
  crypto::Secret both(kBothBytes);
  std::ranges::copy(secret, both.bytes().begin());
  std::ranges::copy(ByteView(digest).first(kChecksumBytes), both.bytes().begin() + kCheckedSecretBytes);
  return both;
}

}  // namespace

crypto::Secret to_checked_text(ByteView secret, std::string_view purpose) {
  COFFER_CHECK(secret.size() == kCheckedSecretBytes);
  const crypto::Secret both = with_checksum(secret, purpose);
  std::string text = base::to_base32(both.bytes());
  crypto::Secret held = crypto::Secret::copy_of(as_bytes(text));
  crypto::wipe(std::as_writable_bytes(std::span(text)));
  return held;
}

std::optional<crypto::Secret> from_checked_text(std::string_view text, std::string_view purpose) {
  if (text.size() != kCheckedTextBytes) return std::nullopt;
  Result<Bytes> decoded = base::from_base32(text);
  if (!decoded) return std::nullopt;
  const crypto::Secret both = crypto::Secret::copy_of(*decoded);
  crypto::wipe(*decoded);
  if (both.size() != kBothBytes) return std::nullopt;  // The text held characters that base32 skips.
  // Written again it must be the same text: that compares the checksum, and leaves no second way to write a secret.
  crypto::Secret secret = crypto::Secret::copy_of(both.bytes().first(kCheckedSecretBytes));
  const crypto::Secret again = to_checked_text(std::as_const(secret).bytes(), purpose);
  if (!crypto::equal_in_constant_time(again.bytes(), as_bytes(text))) return std::nullopt;
  return secret;
}

}  // namespace coffer::keys
