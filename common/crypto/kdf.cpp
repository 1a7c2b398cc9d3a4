#include "common/crypto/kdf.h"

#include <openssl/core_names.h>

#include <array>
#include <bit>
#include <cerrno>

#include "common/base/check.h"
#include "common/crypto/evp.h"

namespace coffer::crypto {
namespace {

constexpr std::uint64_t kScryptMemoryMax = 1u << 30;
constexpr std::uint32_t kScryptParallelMax = 16;

OSSL_PARAM octets(const char* name, ByteView bytes) {
  // OpenSSL reads what its parameters point to, although their type says that it might write.
  return OSSL_PARAM_construct_octet_string(name, const_cast<unsigned char*>(evp::data(bytes)), bytes.size());
}

evp::KdfContext new_context(EVP_KDF* algorithm) {
  evp::KdfContext context(EVP_KDF_CTX_new(algorithm));
  COFFER_CHECK(context != nullptr);
  return context;
}

/// The bounds come from a key slot, which the server could have changed: it must not choose how long we compute.
bool is_acceptable(const ScryptCost& cost) {
  if (cost.n < 2 || !std::has_single_bit(cost.n) || cost.n > kScryptMemoryMax) return false;
  if (cost.r == 0 || cost.p == 0 || cost.p > kScryptParallelMax) return false;
  if (cost.r < 4 && cost.n >= std::uint64_t{1} << (16 * cost.r)) return false;  // RFC 7914, section 2.
  return 128 * std::uint64_t{cost.r} <= kScryptMemoryMax / cost.n;
}

}  // namespace

void hkdf_sha256(ByteView key, ByteView salt, ByteView info, MutableByteView into) {
  COFFER_CHECK(!into.empty() && into.size() <= 255 * 32);
  const evp::KdfContext context = new_context(evp::hkdf());
  std::array<char, 7> digest = {"SHA256"};
  const std::array<OSSL_PARAM, 5> params = {OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, digest.data(), 0),
                                            octets(OSSL_KDF_PARAM_KEY, key), octets(OSSL_KDF_PARAM_SALT, salt),
                                            octets(OSSL_KDF_PARAM_INFO, info), OSSL_PARAM_construct_end()};
  COFFER_CHECK(EVP_KDF_derive(context.get(), evp::data(into), into.size(), params.data()) == 1);
}

Result<Secret> scrypt(ByteView passphrase, ByteView salt, const ScryptCost& cost) {
  if (!is_acceptable(cost)) return Error{Fault::corrupt, 0, "scrypt cost out of bounds"};
  ScryptCost values = cost;
  std::uint64_t memory_max = 2 * kScryptMemoryMax;  // Beside the table OpenSSL counts small buffers.
  const std::array<OSSL_PARAM, 7> params = {octets(OSSL_KDF_PARAM_PASSWORD, passphrase),
                                            octets(OSSL_KDF_PARAM_SALT, salt),
                                            OSSL_PARAM_construct_uint64(OSSL_KDF_PARAM_SCRYPT_N, &values.n),
                                            OSSL_PARAM_construct_uint32(OSSL_KDF_PARAM_SCRYPT_R, &values.r),
                                            OSSL_PARAM_construct_uint32(OSSL_KDF_PARAM_SCRYPT_P, &values.p),
                                            OSSL_PARAM_construct_uint64(OSSL_KDF_PARAM_SCRYPT_MAXMEM, &memory_max),
                                            OSSL_PARAM_construct_end()};
  const evp::KdfContext context = new_context(evp::scrypt());
  Secret key(32);
  if (EVP_KDF_derive(context.get(), evp::data(key.bytes()), key.size(), params.data()) == 1) return key;
  return os_error(ENOMEM, "scrypt");  // The bounds hold: only its memory can have failed.
}

}  // namespace coffer::crypto
