#include "common/crypto/aead.h"

#include <limits>

#include "common/base/check.h"
#include "common/crypto/evp.h"
#include "common/crypto/wipe.h"

namespace coffer::crypto {
namespace {

constexpr int kSeal = 1;
constexpr int kOpen = 0;

int int_size(std::size_t bytes) {
  COFFER_CHECK(bytes <= static_cast<std::size_t>(std::numeric_limits<int>::max()));
  return static_cast<int>(bytes);
}

}  // namespace

struct Aes256Gcm::State {
  evp::CipherContext context{EVP_CIPHER_CTX_new()};

  void begin(const AeadNonce& nonce, ByteView associated, int direction) {
    EVP_CIPHER_CTX* const ctx = context.get();
    COFFER_CHECK(EVP_CipherInit_ex2(ctx, nullptr, nullptr, evp::data(ByteView(nonce)), direction, nullptr) == 1);
    if (associated.empty()) return;
    int written = 0;
    COFFER_CHECK(EVP_CipherUpdate(ctx, nullptr, &written, evp::data(associated), int_size(associated.size())) == 1);
  }

  void transform(ByteView from, MutableByteView into) {
    if (from.empty()) return;
    int written = 0;
    COFFER_CHECK(EVP_CipherUpdate(context.get(), evp::data(into), &written, evp::data(from), int_size(from.size())) ==
                 1);
    COFFER_CHECK(written == int_size(from.size()));
  }

  bool end() {
    unsigned char nothing = 0;
    int written = 0;
    return EVP_CipherFinal_ex(context.get(), &nothing, &written) == 1;
  }
};

Aes256Gcm::Aes256Gcm(ByteView key) : state_(std::make_unique<State>()) {
  COFFER_CHECK(key.size() == kAeadKeyBytes && state_->context != nullptr);
  COFFER_CHECK(EVP_CipherInit_ex2(state_->context.get(), evp::aes_256_gcm(), evp::data(key), nullptr, kSeal, nullptr) ==
               1);
}

Aes256Gcm::~Aes256Gcm() = default;
Aes256Gcm::Aes256Gcm(Aes256Gcm&&) noexcept = default;
Aes256Gcm& Aes256Gcm::operator=(Aes256Gcm&&) noexcept = default;

void Aes256Gcm::seal(const AeadNonce& nonce, ByteView associated, ByteView plain, MutableByteView into) {
  COFFER_CHECK(into.size() == plain.size() + kAeadTagBytes);
  state_->begin(nonce, associated, kSeal);
  state_->transform(plain, into.first(plain.size()));
  COFFER_CHECK(state_->end());
  COFFER_CHECK(EVP_CIPHER_CTX_ctrl(state_->context.get(), EVP_CTRL_AEAD_GET_TAG, kAeadTagBytes,
                                   into.last(kAeadTagBytes).data()) == 1);
}

Result<void> Aes256Gcm::open(const AeadNonce& nonce, ByteView associated, ByteView sealed, MutableByteView into) {
  COFFER_CHECK(sealed.size() >= kAeadTagBytes && into.size() == sealed.size() - kAeadTagBytes);
  std::array<std::byte, kAeadTagBytes> tag;
  std::memcpy(tag.data(), sealed.last(kAeadTagBytes).data(), tag.size());
  state_->begin(nonce, associated, kOpen);
  state_->transform(sealed.first(into.size()), into);
  COFFER_CHECK(EVP_CIPHER_CTX_ctrl(state_->context.get(), EVP_CTRL_AEAD_SET_TAG, kAeadTagBytes, tag.data()) == 1);
  if (state_->end()) return {};
  wipe(into);  // Bytes that nobody vouches for must not be used by mistake.
  return Error{Fault::corrupt, 0, "authentication tag does not hold"};
}

}  // namespace coffer::crypto
