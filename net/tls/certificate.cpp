#include "net/tls/certificate.h"

#include <openssl/pem.h>
#include <openssl/rand.h>

#include <array>
#include <memory>
#include <vector>

#include "common/base/check.h"
#include "net/tls/openssl.h"

namespace coffer::tls {

namespace {

/// ub-common-name of RFC 5280, appendix A.
constexpr std::size_t kCommonNameMax = 64;
constexpr int kSerialBytes = 16;
/// Below that are RSA keys of less than 2048 bits and curves of less than 224 (NIST SP 800-57, table 2).
constexpr int kSecurityBitsMin = 112;

void set_common_name(X509_NAME* name, std::string_view text) {
  std::string printable(text.substr(0, kCommonNameMax));
  for (char& c : printable) {
    if (c < 0x20 || c > 0x7e) c = '?';
  }
  if (printable.empty()) printable = "coffer";
  COFFER_CHECK(X509_NAME_add_entry_by_NID(name, NID_commonName, MBSTRING_ASC,
                                          reinterpret_cast<const unsigned char*>(printable.data()),
                                          static_cast<int>(printable.size()), -1, 0) == 1);
}

/// Random, positive and without leading zeros, as RFC 5280 section 4.1.2.2 wants it.
void set_serial(X509* certificate) {
  unsigned char bytes[kSerialBytes];
  COFFER_CHECK(RAND_bytes(bytes, kSerialBytes) == 1);
  bytes[0] = static_cast<unsigned char>((bytes[0] & 0x3f) | 0x40);
  BIGNUM* number = BN_bin2bn(bytes, kSerialBytes, nullptr);
  COFFER_CHECK(number != nullptr);
  COFFER_CHECK(BN_to_ASN1_INTEGER(number, X509_get_serialNumber(certificate)) != nullptr);
  BN_free(number);
}

void set_validity(X509* certificate, const Validity& validity) {
  const auto seconds = [](os::WallTime time) {
    return static_cast<time_t>(std::chrono::floor<std::chrono::seconds>(time).time_since_epoch().count());
  };
  COFFER_CHECK(ASN1_TIME_set(X509_getm_notBefore(certificate), seconds(validity.not_before)) != nullptr);
  COFFER_CHECK(ASN1_TIME_set(X509_getm_notAfter(certificate), seconds(validity.not_after)) != nullptr);
}

void add_extension(X509* certificate, X509* issuer, int nid, const char* value) {
  X509V3_CTX context;
  X509V3_set_ctx(&context, issuer, certificate, nullptr, nullptr, 0);
  X509_EXTENSION* extension = X509V3_EXT_conf_nid(nullptr, &context, nid, value);
  COFFER_CHECK(extension != nullptr);
  COFFER_CHECK(X509_add_ext(certificate, extension, -1) == 1);
  X509_EXTENSION_free(extension);
}

void add_name(GENERAL_NAMES* names, int type, const std::string& text) {
  GENERAL_NAME* name = GENERAL_NAME_new();
  ASN1_OCTET_STRING* address = type == GEN_DNS ? a2i_IPADDRESS(text.c_str()) : nullptr;
  if (address != nullptr) {
    GENERAL_NAME_set0_value(name, GEN_IPADD, address);
  } else {
    ASN1_IA5STRING* value = ASN1_IA5STRING_new();
    COFFER_CHECK(ASN1_STRING_set(value, text.data(), static_cast<int>(text.size())) == 1);
    GENERAL_NAME_set0_value(name, type, value);
  }
  COFFER_CHECK(sk_GENERAL_NAME_push(names, name) > 0);
}

void add_alternative_names(X509* certificate, const NewCertificate& wanted) {
  if (wanted.hosts.empty() && wanted.uris.empty()) return;
  const NamesPtr names(sk_GENERAL_NAME_new_null());
  for (const std::string& host : wanted.hosts) add_name(names.get(), GEN_DNS, host);
  for (const std::string& uri : wanted.uris) add_name(names.get(), GEN_URI, uri);
  COFFER_CHECK(X509_add1_ext_i2d(certificate, NID_subject_alt_name, names.get(), 0, X509V3_ADD_APPEND) == 1);
}

/// Ed25519 and Ed448 hash by themselves and take no digest.
const EVP_MD* digest_for(EVP_PKEY* key) {
  const int id = EVP_PKEY_get_base_id(key);
  return id == EVP_PKEY_ED25519 || id == EVP_PKEY_ED448 ? nullptr : EVP_sha256();
}

KeyPtr new_key(KeyKind kind) {
  KeyPtr key(kind == KeyKind::ec_p256 ? EVP_PKEY_Q_keygen(nullptr, nullptr, "EC", "P-256")
                                      : EVP_PKEY_Q_keygen(nullptr, nullptr, "RSA", std::size_t{4096}));
  COFFER_CHECK(key != nullptr);
  return key;
}

crypto::Secret key_to_pem(EVP_PKEY* key) {
  const BioPtr bio(BIO_new(BIO_s_secmem()));
  COFFER_CHECK(PEM_write_bio_PKCS8PrivateKey(bio.get(), key, nullptr, nullptr, 0, nullptr, nullptr) == 1);
  char* data = nullptr;
  const long bytes = BIO_get_mem_data(bio.get(), &data);
  return crypto::Secret::copy_of(as_bytes(std::string_view(data, static_cast<std::size_t>(bytes))));
}

Bytes csr_of(EVP_PKEY* key, std::string_view common_name) {
  const RequestPtr request(X509_REQ_new());
  COFFER_CHECK(request != nullptr && X509_REQ_set_version(request.get(), X509_REQ_VERSION_1) == 1);
  set_common_name(X509_REQ_get_subject_name(request.get()), common_name);
  COFFER_CHECK(X509_REQ_set_pubkey(request.get(), key) == 1);
  COFFER_CHECK(X509_REQ_sign(request.get(), key, digest_for(key)) > 0);
  Bytes der(static_cast<std::size_t>(i2d_X509_REQ(request.get(), nullptr)));
  auto* at = reinterpret_cast<unsigned char*>(der.data());
  COFFER_CHECK(i2d_X509_REQ(request.get(), &at) == static_cast<int>(der.size()));
  return der;
}

Result<RequestPtr> parse_csr(ByteView der) {
  const auto* at = reinterpret_cast<const unsigned char*>(der.data());
  RequestPtr request(d2i_X509_REQ(nullptr, &at, static_cast<long>(der.size())));
  if (!request) return Error{Fault::refused, 0, "not a signing request: " + openssl_errors()};
  EVP_PKEY* key = X509_REQ_get0_pubkey(request.get());
  if (key == nullptr || X509_REQ_verify(request.get(), key) != 1) {
    return Error{Fault::refused, 0, "the signing request's own signature does not hold: " + openssl_errors()};
  }
  if (EVP_PKEY_get_security_bits(key) < kSecurityBitsMin) return Error{Fault::refused, 0, "key too weak"};
  return request;
}

X509Ptr new_certificate(EVP_PKEY* key, std::string_view common_name, const Validity& validity) {
  X509Ptr certificate(X509_new());
  COFFER_CHECK(certificate != nullptr && X509_set_version(certificate.get(), X509_VERSION_3) == 1);
  set_serial(certificate.get());
  set_validity(certificate.get(), validity);
  set_common_name(X509_get_subject_name(certificate.get()), common_name);
  COFFER_CHECK(X509_set_pubkey(certificate.get(), key) == 1);
  return certificate;
}

}  // namespace

crypto::Secret make_key(KeyKind kind) { return key_to_pem(new_key(kind).get()); }

Result<Bytes> make_csr(ByteView key_pem, std::string_view common_name) {
  COFFER_TRY(const KeyPtr key, parse_key(key_pem));
  return csr_of(key.get(), common_name);
}

Result<crypto::Digest> public_key_of(ByteView csr_der) {
  COFFER_TRY(const RequestPtr request, parse_csr(csr_der));
  EVP_PKEY* key = X509_REQ_get0_pubkey(request.get());
  Bytes der(static_cast<std::size_t>(std::max(i2d_PUBKEY(key, nullptr), 0)));
  auto* at = reinterpret_cast<unsigned char*>(der.data());
  if (der.empty() || i2d_PUBKEY(key, &at) <= 0) return Error{Fault::refused, 0, "a key that cannot be written"};
  return crypto::sha256(der);
}

KeyAndCsr make_key_pair_and_csr(std::string_view common_name) {
  const KeyPtr key = new_key(KeyKind::ec_p256);
  return {key_to_pem(key.get()), csr_of(key.get(), common_name)};
}

Validity valid_for(os::Clock& clock, std::chrono::hours lifetime) {
  const os::WallTime now = clock.now();
  return {now - std::chrono::hours(1), now + lifetime};
}

Authority make_ca(std::string_view common_name, const Validity& validity) {
  const KeyPtr key = new_key(KeyKind::ec_p256);
  const X509Ptr certificate = new_certificate(key.get(), common_name, validity);
  X509* x = certificate.get();
  COFFER_CHECK(X509_set_issuer_name(x, X509_get_subject_name(x)) == 1);
  add_extension(x, x, NID_basic_constraints, "critical,CA:TRUE,pathlen:0");
  add_extension(x, x, NID_key_usage, "critical,keyCertSign,cRLSign");
  add_extension(x, x, NID_subject_key_identifier, "hash");
  COFFER_CHECK(X509_sign(x, key.get(), EVP_sha256()) > 0);
  return {to_pem(x), key_to_pem(key.get())};
}

Result<std::string> issue_certificate(const Authority& authority, ByteView csr_der, const NewCertificate& wanted) {
  COFFER_TRY(const X509Ptr ca, parse_certificate(authority.certificate_pem));
  COFFER_TRY(const KeyPtr ca_key, parse_key(authority.key_pem.bytes()));
  if (X509_check_private_key(ca.get(), ca_key.get()) != 1) {
    return Error{Fault::corrupt, 0, "the CA's key does not fit its certificate: " + openssl_errors()};
  }
  COFFER_TRY(const RequestPtr request, parse_csr(csr_der));
  const X509Ptr certificate = new_certificate(X509_REQ_get0_pubkey(request.get()), wanted.common_name, wanted.validity);
  X509* x = certificate.get();
  COFFER_CHECK(X509_set_issuer_name(x, X509_get_subject_name(ca.get())) == 1);
  add_extension(x, ca.get(), NID_basic_constraints, "critical,CA:FALSE");
  add_extension(x, ca.get(), NID_key_usage, "critical,digitalSignature");
  add_extension(x, ca.get(), NID_ext_key_usage, wanted.purpose == Purpose::server ? "serverAuth" : "clientAuth");
  add_extension(x, ca.get(), NID_subject_key_identifier, "hash");
  // issuer as well where the CA, made by other hands, has no key identifier.
  add_extension(x, ca.get(), NID_authority_key_identifier, "keyid,issuer");
  add_alternative_names(x, wanted);
  if (X509_sign(x, ca_key.get(), digest_for(ca_key.get())) <= 0) {
    return Error{Fault::corrupt, 0, "the CA's key cannot sign: " + openssl_errors()};
  }
  return to_pem(x);
}

namespace {

/// What `key` signs, `public_half` verifies. A damaged key file may still carry the right public half beside a private
/// one that is of no use.
bool signs_for(EVP_PKEY* key, EVP_PKEY* public_half) {
  constexpr std::array<unsigned char, 6> kText = {'c', 'o', 'f', 'f', 'e', 'r'};
  const std::unique_ptr<EVP_MD_CTX, FreedBy<EVP_MD_CTX_free>> signing(EVP_MD_CTX_new());
  const std::unique_ptr<EVP_MD_CTX, FreedBy<EVP_MD_CTX_free>> checking(EVP_MD_CTX_new());
  std::size_t bytes = 0;
  bool holds = EVP_DigestSignInit(signing.get(), nullptr, nullptr, nullptr, key) == 1 &&
               EVP_DigestSign(signing.get(), nullptr, &bytes, kText.data(), kText.size()) == 1;
  std::vector<unsigned char> signature(bytes);
  holds = holds && EVP_DigestSign(signing.get(), signature.data(), &bytes, kText.data(), kText.size()) == 1 &&
          EVP_DigestVerifyInit(checking.get(), nullptr, nullptr, nullptr, public_half) == 1 &&
          EVP_DigestVerify(checking.get(), signature.data(), bytes, kText.data(), kText.size()) == 1;
  if (!holds) static_cast<void>(openssl_errors());
  return holds;
}

}  // namespace

Result<bool> fits(std::string_view certificate_pem, ByteView key_pem) {
  COFFER_TRY(const X509Ptr certificate, parse_certificate(certificate_pem));
  COFFER_TRY(const KeyPtr key, parse_key(key_pem));
  EVP_PKEY* const public_half = X509_get0_pubkey(certificate.get());
  return EVP_PKEY_eq(public_half, key.get()) == 1 && signs_for(key.get(), public_half);
}

Result<bool> was_issued_by(std::string_view certificate_pem, std::string_view ca_pem) {
  COFFER_TRY(const X509Ptr certificate, parse_certificate(certificate_pem));
  COFFER_TRY(const X509Ptr ca, parse_certificate(ca_pem));
  const bool issued = X509_check_issued(ca.get(), certificate.get()) == X509_V_OK &&
                      X509_verify(certificate.get(), X509_get0_pubkey(ca.get())) == 1;
  if (!issued) static_cast<void>(openssl_errors());  // A signature that does not hold leaves them in the queue.
  return issued;
}

}  // namespace coffer::tls
