#include "common/crypto/evp.h"

#include "common/base/check.h"

namespace coffer::crypto::evp {
namespace {

template <class T>
T* fetched(T* algorithm) {
  COFFER_CHECK(algorithm != nullptr);  // OpenSSL's default provider has all that we name.
  return algorithm;
}

}  // namespace

const EVP_MD* sha256() {
  static const EVP_MD* const algorithm = fetched(EVP_MD_fetch(nullptr, "SHA256", nullptr));
  return algorithm;
}

const EVP_CIPHER* aes_256_gcm() {
  static const EVP_CIPHER* const algorithm = fetched(EVP_CIPHER_fetch(nullptr, "AES-256-GCM", nullptr));
  return algorithm;
}

const EVP_CIPHER* aes_256_ecb() {
  static const EVP_CIPHER* const algorithm = fetched(EVP_CIPHER_fetch(nullptr, "AES-256-ECB", nullptr));
  return algorithm;
}

EVP_MAC* hmac() {
  static EVP_MAC* const algorithm = fetched(EVP_MAC_fetch(nullptr, "HMAC", nullptr));
  return algorithm;
}

EVP_KDF* hkdf() {
  static EVP_KDF* const algorithm = fetched(EVP_KDF_fetch(nullptr, "HKDF", nullptr));
  return algorithm;
}

EVP_KDF* scrypt() {
  static EVP_KDF* const algorithm = fetched(EVP_KDF_fetch(nullptr, "SCRYPT", nullptr));
  return algorithm;
}

}  // namespace coffer::crypto::evp
