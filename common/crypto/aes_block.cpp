#include "common/crypto/aes_block.h"

#include <limits>

#include "common/base/check.h"
#include "common/crypto/evp.h"

namespace coffer::crypto {

struct Aes256Block::State {
  evp::CipherContext context{EVP_CIPHER_CTX_new()};
};

Aes256Block::Aes256Block(ByteView key) : state_(std::make_unique<State>()) {
  COFFER_CHECK(key.size() == 32 && state_->context != nullptr);
  EVP_CIPHER_CTX* const context = state_->context.get();
  COFFER_CHECK(EVP_EncryptInit_ex2(context, evp::aes_256_ecb(), evp::data(key), nullptr, nullptr) == 1);
  COFFER_CHECK(EVP_CIPHER_CTX_set_padding(context, 0) == 1);
}

Aes256Block::~Aes256Block() = default;
Aes256Block::Aes256Block(Aes256Block&&) noexcept = default;
Aes256Block& Aes256Block::operator=(Aes256Block&&) noexcept = default;

void Aes256Block::encrypt(std::span<AesBlock> blocks) {
  const MutableByteView bytes = std::as_writable_bytes(blocks);
  COFFER_CHECK(bytes.size() <= static_cast<std::size_t>(std::numeric_limits<int>::max()));
  int written = 0;
  COFFER_CHECK(EVP_EncryptUpdate(state_->context.get(), evp::data(bytes), &written, evp::data(ByteView(bytes)),
                                 static_cast<int>(bytes.size())) == 1);
  COFFER_CHECK(written == static_cast<int>(bytes.size()));
}

}  // namespace coffer::crypto
