#include "fs/seal/stream.h"

#include <cstring>
#include <utility>

#include "common/crypto/kdf.h"
#include "common/crypto/wipe.h"

namespace coffer::seal {
namespace {

crypto::Aes256Gcm aead_from(ByteView key, ByteView salt, std::string_view info) {
  crypto::Secret own(crypto::kAeadKeyBytes);
  crypto::hkdf_sha256(key, salt, as_bytes(info), own.bytes());
  return crypto::Aes256Gcm(std::as_const(own).bytes());
}

/// Seven zeros, the counter, the last-frame flag. The zeros are no weakness: the key is used for this stream only.
crypto::AeadNonce nonce_of(std::uint32_t counter, Last last) {
  crypto::AeadNonce nonce{};
  std::memcpy(nonce.data() + 7, &counter, sizeof(counter));
  nonce[11] = static_cast<std::byte>(last);
  return nonce;
}

}  // namespace

Stream::Stream(ByteView key, ByteView salt, std::string_view info, Bytes associated)
    : aead_(aead_from(key, salt, info)), associated_(std::move(associated)) {}

void Stream::seal(std::uint32_t counter, Last last, ByteView plain, MutableByteView into) {
  aead_.seal(nonce_of(counter, last), associated_, plain, into);
}

Result<void> Stream::open(std::uint32_t counter, Last last, ByteView sealed, MutableByteView into) {
  return aead_.open(nonce_of(counter, last), associated_, sealed, into);
}

}  // namespace coffer::seal
