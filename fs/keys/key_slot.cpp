#include "fs/keys/key_slot.h"

#include <array>
#include <bit>
#include <cerrno>
#include <cstdint>

#include "common/crypto/aead.h"

namespace coffer::keys {
namespace {

constexpr std::string_view kMagic = "CFRKEY";
constexpr std::uint8_t kVersion = 1;
constexpr std::string_view kInfo = "coffer 1 slot";
constexpr std::size_t kSaltBytes = 32;
constexpr std::size_t kHeadBytes = 56;
constexpr std::size_t kWrappedBytes = kVaultKeyBytes + crypto::kAeadTagBytes;
static_assert(kHeadBytes + kWrappedBytes == kKeySlotBytes);

constexpr std::size_t kSecretBytes = 32;  // Of a recovery key and of a key file.

// What a slot may ask of a client: 1 GiB of memory, and sixteen times the default work of n * r * p = 2^20.
constexpr std::uint64_t kScryptMemoryMax = 1u << 30;
constexpr std::uint64_t kScryptWorkMax = 1u << 24;
constexpr std::uint32_t kScryptParallelMax = 16;

/// Every field of a slot before the wrapped key.
struct Head {
  SlotKind kind;
  crypto::ScryptCost cost;
  std::array<std::byte, kSaltBytes> salt;
};

constexpr std::uint8_t kind_byte(SlotKind kind) { return static_cast<std::uint8_t>(static_cast<int>(kind) + 1); }

bool is_bearable(const crypto::ScryptCost& cost) {
  if (cost.n < 2 || !std::has_single_bit(cost.n) || cost.r == 0 || cost.p == 0) return false;
  if (cost.n > kScryptWorkMax || cost.r > kScryptWorkMax || cost.p > kScryptParallelMax) return false;
  if (cost.r < 4 && cost.n >= std::uint64_t{1} << (16 * cost.r)) return false;  // RFC 7914, section 2.
  const std::uint64_t blocks = cost.n * cost.r;                                 // Below 2^48.
  return blocks <= kScryptMemoryMax / 128 && blocks * cost.p <= kScryptWorkMax;
}

Bytes encode(const Head& head) {
  Bytes bytes;
  bytes.reserve(kKeySlotBytes);
  Writer writer(bytes);
  writer.put_bytes(as_bytes(kMagic));
  writer.put(kVersion);
  writer.put(kind_byte(head.kind));
  writer.put(head.cost.n);
  writer.put(head.cost.r);
  writer.put(head.cost.p);
  writer.put_bytes(head.salt);
  return bytes;
}

Result<Head> decode(ByteView slot) {
  if (slot.size() != kKeySlotBytes) return Error{Fault::corrupt, 0, "no key slot: it has a wrong length"};
  Reader reader(slot);
  COFFER_TRY(const ByteView magic, reader.get_bytes(kMagic.size()));
  if (as_text(magic) != kMagic) return Error{Fault::corrupt, 0, "no key slot"};
  COFFER_TRY(const std::uint8_t version, reader.get<std::uint8_t>());
  if (version != kVersion) return Error{Fault::corrupt, 0, "key slot of another version of Coffer"};
  COFFER_TRY(const std::uint8_t kind, reader.get<std::uint8_t>());
  if (kind < 1 || kind > 3) return Error{Fault::corrupt, 0, "key slot of an unknown kind"};

  Head head{};
  head.kind = static_cast<SlotKind>(kind - 1);
  COFFER_TRY(head.cost.n, reader.get<std::uint64_t>());
  COFFER_TRY(head.cost.r, reader.get<std::uint32_t>());
  COFFER_TRY(head.cost.p, reader.get<std::uint32_t>());
  COFFER_TRY(const ByteView salt, reader.get_bytes(kSaltBytes));
  std::memcpy(head.salt.data(), salt.data(), kSaltBytes);

  if (head.kind == SlotKind::passphrase) {
    if (!is_bearable(head.cost)) return Error{Fault::corrupt, 0, "key slot asks for an unreasonable scrypt cost"};
  } else if (head.cost.n != 0 || head.cost.r != 0 || head.cost.p != 0) {
    return Error{Fault::corrupt, 0, "key slot has a scrypt cost that its kind does not use"};
  }
  return head;
}

/// The key under which the vault key is wrapped: used for one message only, so that its nonce may be zero.
Result<crypto::Secret> wrapping_key(const Head& head, ByteView secret) {
  crypto::Secret stretched;
  if (head.kind == SlotKind::passphrase) {
    COFFER_TRY(stretched, crypto::scrypt(secret, head.salt, head.cost));
    secret = std::as_const(stretched).bytes();
  }
  crypto::Secret key(crypto::kAeadKeyBytes);
  crypto::hkdf_sha256(secret, head.salt, as_bytes(kInfo), key.bytes());
  return key;
}

Bytes associated(ByteView head_bytes, const object::VaultId& vault) {
  Bytes bytes = copy_of(head_bytes);
  append(bytes, vault.bytes());
  return bytes;
}

Result<Bytes> wrap(SlotKind kind, const crypto::ScryptCost& cost, const VaultKey& key, ByteView secret,
                   const object::VaultId& vault, os::Random& random) {
  Head head{kind, cost, {}};
  random.fill(head.salt);
  COFFER_TRY(const crypto::Secret wrapping, wrapping_key(head, secret));
  Bytes slot = encode(head);
  const Bytes bound = associated(slot, vault);
  slot.resize(kKeySlotBytes);
  crypto::Aes256Gcm(wrapping.bytes()).seal({}, bound, key.bytes(), MutableByteView(slot).subspan(kHeadBytes));
  return slot;
}

constexpr crypto::ScryptCost kNoScrypt{0, 0, 0};

Error wrong_secret(SlotKind kind) {
  switch (kind) {
    case SlotKind::passphrase:
      return {Fault::refused, EACCES, "wrong passphrase (or the key slot is damaged: the two cannot be told apart)"};
    case SlotKind::recovery:
      return {Fault::refused, EACCES, "wrong recovery key (or the key slot is damaged: the two cannot be told apart)"};
    case SlotKind::key_file:
      return {Fault::refused, EACCES, "wrong key file (or the key slot is damaged: the two cannot be told apart)"};
  }
  return {Fault::corrupt, 0, "key slot of an unknown kind"};
}

}  // namespace

Result<Bytes> wrap_with_passphrase(const VaultKey& key, ByteView passphrase, const object::VaultId& vault,
                                   os::Random& random, const crypto::ScryptCost& cost) {
  if (passphrase.empty()) return Error{Fault::refused, EINVAL, "the passphrase is empty"};
  if (!is_bearable(cost)) return Error{Fault::refused, EINVAL, "scrypt cost out of bounds"};
  return wrap(SlotKind::passphrase, cost, key, passphrase, vault, random);
}

Bytes wrap_with_recovery_key(const VaultKey& key, const RecoveryKey& recovery, const object::VaultId& vault,
                             os::Random& random) {
  return wrap(SlotKind::recovery, kNoScrypt, key, recovery.bytes(), vault, random).value();  // Only scrypt can fail.
}

Bytes wrap_with_key_file(const VaultKey& key, const KeyFile& file, const object::VaultId& vault, os::Random& random) {
  return wrap(SlotKind::key_file, kNoScrypt, key, file.bytes(), vault, random).value();
}

Result<SlotKind> kind_of(ByteView slot) {
  COFFER_TRY(const Head head, decode(slot));
  return head.kind;
}

Result<VaultKey> unwrap(ByteView slot, ByteView secret, const object::VaultId& vault) {
  COFFER_TRY(const Head head, decode(slot));
  if (head.kind != SlotKind::passphrase && secret.size() != kSecretBytes) return wrong_secret(head.kind);
  COFFER_TRY(const crypto::Secret wrapping, wrapping_key(head, secret));
  crypto::Secret opened(kVaultKeyBytes);
  const Bytes bound = associated(slot.first(kHeadBytes), vault);
  if (!crypto::Aes256Gcm(wrapping.bytes()).open({}, bound, slot.subspan(kHeadBytes), opened.bytes())) {
    return wrong_secret(head.kind);
  }
  return VaultKey::from_bytes(std::as_const(opened).bytes());
}

}  // namespace coffer::keys
