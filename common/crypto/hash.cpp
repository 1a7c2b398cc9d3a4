#include "common/crypto/hash.h"

#include <openssl/core_names.h>
#include <openssl/crypto.h>

#include <utility>

#include "common/base/check.h"
#include "common/crypto/evp.h"

namespace coffer::crypto {
namespace {

evp::DigestContext new_context() {
  evp::DigestContext context(EVP_MD_CTX_new());
  COFFER_CHECK(context != nullptr);
  return context;
}

void begin(EVP_MD_CTX* context) { COFFER_CHECK(EVP_DigestInit_ex2(context, evp::sha256(), nullptr) == 1); }
void add(EVP_MD_CTX* context, ByteView bytes) {
  COFFER_CHECK(EVP_DigestUpdate(context, evp::data(bytes), bytes.size()) == 1);
}
Digest end(EVP_MD_CTX* context) {
  Digest digest;
  COFFER_CHECK(EVP_DigestFinal_ex(context, evp::data(MutableByteView(digest)), nullptr) == 1);
  return digest;
}

}  // namespace

Digest sha256(ByteView bytes) {
  static thread_local const evp::DigestContext context = new_context();
  begin(context.get());
  add(context.get(), bytes);
  return end(context.get());
}

Digest hmac_sha256(ByteView key, ByteView bytes) {
  // A context of its own for every call: it holds the key, and is cleansed when it is freed.
  const evp::MacContext context(EVP_MAC_CTX_new(evp::hmac()));
  COFFER_CHECK(context != nullptr);
  std::array<char, 7> name = {"SHA256"};
  const std::array<OSSL_PARAM, 2> params = {OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, name.data(), 0),
                                            OSSL_PARAM_construct_end()};
  COFFER_CHECK(EVP_MAC_init(context.get(), evp::data(key), key.size(), params.data()) == 1);
  COFFER_CHECK(EVP_MAC_update(context.get(), evp::data(bytes), bytes.size()) == 1);
  Digest digest;
  std::size_t written = 0;
  COFFER_CHECK(EVP_MAC_final(context.get(), evp::data(MutableByteView(digest)), &written, digest.size()) == 1);
  COFFER_CHECK(written == digest.size());
  return digest;
}

bool equal_in_constant_time(ByteView a, ByteView b) {
  return a.size() == b.size() && (a.empty() || CRYPTO_memcmp(a.data(), b.data(), a.size()) == 0);
}

struct Sha256::State {
  evp::DigestContext context = new_context();
};

Sha256::Sha256() : state_(std::make_unique<State>()) { begin(state_->context.get()); }
Sha256::~Sha256() = default;
Sha256::Sha256(Sha256&&) noexcept = default;
Sha256& Sha256::operator=(Sha256&&) noexcept = default;

void Sha256::update(ByteView bytes) { add(state_->context.get(), bytes); }

Digest Sha256::finish() {
  const Digest digest = end(state_->context.get());
  begin(state_->context.get());
  return digest;
}

}  // namespace coffer::crypto
