#include "fs/keys/recovery_key.h"

#include <algorithm>
#include <cerrno>
#include <string>

#include "fs/keys/checked_text.h"

namespace coffer::keys {
namespace {

constexpr std::string_view kPurpose = "coffer 1 recovery key";
constexpr std::size_t kGroupBytes = 4;

/// The letters and digits of `text` as text() writes them, or nothing if they are more or fewer than it has.
std::optional<crypto::Secret> normalized(std::string_view text) {
  crypto::Secret letters(kCheckedTextBytes);
  std::size_t count = 0;
  for (char c : text) {
    if (c == '-' || c == ' ' || c == '\t' || c == '\r' || c == '\n') continue;
    if (count == kCheckedTextBytes) return std::nullopt;
    if (c >= 'a' && c <= 'z') c = static_cast<char>(c - 'a' + 'A');
    if (c == '0') c = 'O';  // These three digits are not in the alphabet, so only their look-alikes can be meant.
    if (c == '1') c = 'I';
    if (c == '8') c = 'B';
    letters.bytes()[count++] = static_cast<std::byte>(c);
  }
  if (count != kCheckedTextBytes) return std::nullopt;
  return letters;
}

}  // namespace

RecoveryKey RecoveryKey::generate(os::Random& random) {
  crypto::Secret secret(kCheckedSecretBytes);
  random.fill(secret.bytes());
  return RecoveryKey(std::move(secret));
}

Result<RecoveryKey> RecoveryKey::parse(std::string_view text) {
  const std::optional<crypto::Secret> letters = normalized(text);
  if (!letters) {
    return Error{Fault::refused, EINVAL, "recovery key is incomplete or too long: it has 14 groups of four characters"};
  }
  std::optional<crypto::Secret> secret = from_checked_text(as_text(letters->bytes()), kPurpose);
  if (!secret) return Error{Fault::refused, EINVAL, "recovery key has a typing error: compare it with the printed one"};
  return RecoveryKey(std::move(*secret));
}

crypto::Secret RecoveryKey::text() const {
  const crypto::Secret letters = to_checked_text(secret_.bytes(), kPurpose);
  crypto::Secret grouped(kCheckedTextBytes + kCheckedTextBytes / kGroupBytes - 1);
  auto to = grouped.bytes().begin();
  for (std::size_t at = 0; at < kCheckedTextBytes; at += kGroupBytes) {
    if (at > 0) *to++ = std::byte{'-'};
    to = std::ranges::copy(letters.bytes().subspan(at, kGroupBytes), to).out;
  }
  return grouped;
}

}  // namespace coffer::keys
