#include "common/crypto/aes_block.h"

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

AesBlock Aes256Block::encrypt(const AesBlock& block) {
  AesBlock out;
  int written = 0;
  COFFER_CHECK(EVP_EncryptUpdate(state_->context.get(), evp::data(MutableByteView(out)), &written,
                                 evp::data(ByteView(block)), static_cast<int>(block.size())) == 1);
  COFFER_CHECK(written == static_cast<int>(out.size()));
  return out;
}

}  // namespace coffer::crypto
