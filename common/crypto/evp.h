// Owners of OpenSSL's objects, and the algorithms, fetched once: a fetch takes locks and costs more than a short hash.
#pragma once

#include <openssl/evp.h>
#include <openssl/kdf.h>

#include <memory>

#include "common/base/bytes.h"

namespace coffer::crypto::evp {

template <auto kFree>
struct Freed {
  template <class T>
  void operator()(T* object) const {
    kFree(object);
  }
};

using CipherContext = std::unique_ptr<EVP_CIPHER_CTX, Freed<EVP_CIPHER_CTX_free>>;
using DigestContext = std::unique_ptr<EVP_MD_CTX, Freed<EVP_MD_CTX_free>>;
using KdfContext = std::unique_ptr<EVP_KDF_CTX, Freed<EVP_KDF_CTX_free>>;
using MacContext = std::unique_ptr<EVP_MAC_CTX, Freed<EVP_MAC_CTX_free>>;
using Key = std::unique_ptr<EVP_PKEY, Freed<EVP_PKEY_free>>;

const EVP_MD* sha256();
const EVP_CIPHER* aes_256_gcm();
const EVP_CIPHER* aes_256_ecb();
EVP_MAC* hmac();
EVP_KDF* hkdf();
EVP_KDF* scrypt();

inline const unsigned char* data(ByteView bytes) {
  // OpenSSL takes a null pointer for "not given", an empty view does not mean that.
  static constexpr unsigned char kEmpty = 0;
  return bytes.empty() ? &kEmpty : reinterpret_cast<const unsigned char*>(bytes.data());
}
inline unsigned char* data(MutableByteView bytes) { return reinterpret_cast<unsigned char*>(bytes.data()); }

}  // namespace coffer::crypto::evp
