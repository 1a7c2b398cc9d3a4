#include "common/crypto/sign.h"

#include "common/base/check.h"
#include "common/crypto/evp.h"

namespace coffer::crypto {
namespace {

constexpr std::size_t kSeedBytes = 32;

evp::Key private_key(ByteView seed) {
  evp::Key key(EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, nullptr, evp::data(seed), seed.size()));
  COFFER_CHECK(key != nullptr);  // Any 32 bytes are a private key.
  return key;
}

/// OpenSSL's object of the key, or null. The last one of a thread is kept: one server's receipts come one behind the
/// other, and to make it anew is up to a tenth of a check.
EVP_PKEY* made_ready(const PublicKey& key) {
  struct Last {
    PublicKey bytes{};
    evp::Key key;
  };
  thread_local Last last;
  if (last.key == nullptr || last.bytes != key) {
    last.key.reset(EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, nullptr, evp::data(ByteView(key)), key.size()));
    last.bytes = key;
  }
  return last.key.get();
}

}  // namespace

SigningKey SigningKey::generate(os::Random& random) {
  Secret seed(kSeedBytes);
  random.fill(seed.bytes());
  Result<SigningKey> key = from_seed(seed.bytes());
  return std::move(key).value();
}

Result<SigningKey> SigningKey::from_seed(ByteView seed) {
  if (seed.size() != kSeedBytes) return Error{Fault::corrupt, 0, "signing key of a wrong length"};
  evp::Key key = private_key(seed);
  PublicKey public_key;
  std::size_t bytes = public_key.size();
  COFFER_CHECK(EVP_PKEY_get_raw_public_key(key.get(), evp::data(MutableByteView(public_key)), &bytes) == 1);
  COFFER_CHECK(bytes == public_key.size());
  return SigningKey(Secret::copy_of(seed), std::shared_ptr<EVP_PKEY>(key.release(), EVP_PKEY_free), public_key);
}

Signature SigningKey::sign(ByteView message) const {
  const evp::DigestContext context(EVP_MD_CTX_new());
  Signature signature;
  std::size_t bytes = signature.size();
  COFFER_CHECK(context != nullptr);
  COFFER_CHECK(EVP_DigestSignInit(context.get(), nullptr, nullptr, nullptr, key_.get()) == 1);
  COFFER_CHECK(EVP_DigestSign(context.get(), evp::data(MutableByteView(signature)), &bytes, evp::data(message),
                              message.size()) == 1);
  COFFER_CHECK(bytes == signature.size());
  return signature;
}

bool verify(const PublicKey& key, ByteView message, const Signature& signature) {
  EVP_PKEY* const ready = made_ready(key);
  const evp::DigestContext context(EVP_MD_CTX_new());
  if (ready == nullptr || context == nullptr) return false;
  if (EVP_DigestVerifyInit(context.get(), nullptr, nullptr, nullptr, ready) != 1) return false;
  return EVP_DigestVerify(context.get(), evp::data(ByteView(signature)), signature.size(), evp::data(message),
                          message.size()) == 1;
}

}  // namespace coffer::crypto
