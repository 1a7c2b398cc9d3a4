#include <arpa/inet.h>
#include <openssl/asn1.h>

#include <algorithm>
#include <ctime>

#include "common/base/text.h"
#include "net/tls/certificate.h"
#include "net/tls/openssl.h"

namespace coffer::tls {

namespace {

constexpr std::string_view kClientUri = "urn:coffer:client:";

Result<os::WallTime> time_of(const ASN1_TIME* time) {
  std::tm parts{};
  if (ASN1_TIME_to_tm(time, &parts) != 1) return Error{Fault::corrupt, 0, "certificate with a wrong time"};
  // Nanoseconds in 64 bits end in 2262; RFC 5280's "no end" is the year 9999.
  constexpr std::time_t kLast = 9'000'000'000;
  return os::WallTime(std::chrono::seconds(std::min(timegm(&parts), kLast)));
}

std::string lower_hex(const ASN1_INTEGER* number) {
  BIGNUM* big = ASN1_INTEGER_to_BN(number, nullptr);
  Bytes bytes(static_cast<std::size_t>(BN_num_bytes(big)));
  BN_bn2bin(big, reinterpret_cast<unsigned char*>(bytes.data()));
  BN_free(big);
  return base::to_hex(bytes);
}

std::string text_of(const ASN1_STRING* value) {
  return {reinterpret_cast<const char*>(ASN1_STRING_get0_data(value)),
          static_cast<std::size_t>(ASN1_STRING_length(value))};
}

std::string address_text(const ASN1_OCTET_STRING* value) {
  char text[INET6_ADDRSTRLEN] = "";
  const int family = ASN1_STRING_length(value) == 4 ? AF_INET : AF_INET6;
  if (family == AF_INET6 && ASN1_STRING_length(value) != 16) return "";
  inet_ntop(family, ASN1_STRING_get0_data(value), text, sizeof(text));
  return text;
}

std::optional<object::ClientId> client_of(std::string_view uri) {
  if (!uri.starts_with(kClientUri)) return std::nullopt;
  const std::string_view hex = uri.substr(kClientUri.size());
  if (hex.size() != 2 * object::ClientId::kSize) return std::nullopt;
  const Result<Bytes> bytes = base::from_hex(hex);
  if (!bytes) return std::nullopt;
  const Result<object::ClientId> id = object::ClientId::from(*bytes);
  return id ? std::optional(*id) : std::nullopt;
}

void read_alternative_names(const X509* certificate, CertificateFacts& facts) {
  const NamesPtr names(
      static_cast<GENERAL_NAMES*>(X509_get_ext_d2i(certificate, NID_subject_alt_name, nullptr, nullptr)));
  for (int i = 0; names != nullptr && i < sk_GENERAL_NAME_num(names.get()); ++i) {
    int type = 0;
    const auto* value =
        static_cast<const ASN1_STRING*>(GENERAL_NAME_get0_value(sk_GENERAL_NAME_value(names.get(), i), &type));
    if (type == GEN_URI) facts.uris.push_back(text_of(value));
    if (type == GEN_DNS) facts.hosts.push_back(text_of(value));
    if (type == GEN_IPADD) facts.hosts.push_back(address_text(value));
    if (type == GEN_URI && !facts.client) facts.client = client_of(facts.uris.back());
  }
}

std::string common_name_of(X509_NAME* name) {
  const int at = X509_NAME_get_index_by_NID(name, NID_commonName, -1);
  return at < 0 ? "" : text_of(X509_NAME_ENTRY_get_data(X509_NAME_get_entry(name, at)));
}

Result<CertificateFacts> facts_of(X509* certificate) {
  CertificateFacts facts;
  facts.subject = name_text(X509_get_subject_name(certificate));
  facts.common_name = common_name_of(X509_get_subject_name(certificate));
  facts.serial = lower_hex(X509_get0_serialNumber(certificate));
  unsigned int bytes = 0;
  if (X509_digest(certificate, EVP_sha256(), reinterpret_cast<unsigned char*>(facts.fingerprint.data()), &bytes) != 1) {
    return Error{Fault::corrupt, 0, "certificate without a fingerprint: " + openssl_errors()};
  }
  COFFER_TRY(facts.not_before, time_of(X509_get0_notBefore(certificate)));
  COFFER_TRY(facts.not_after, time_of(X509_get0_notAfter(certificate)));
  read_alternative_names(certificate, facts);
  return facts;
}

}  // namespace

std::string client_uri(const object::ClientId& client) { return std::string(kClientUri) + client.hex(); }

Result<CertificateFacts> read_certificate(std::string_view pem) {
  COFFER_TRY(const X509Ptr certificate, parse_certificate(pem));
  return facts_of(certificate.get());
}

Result<CertificateFacts> read_certificate_der(ByteView der) {
  const auto* at = reinterpret_cast<const unsigned char*>(der.data());
  const X509Ptr certificate(d2i_X509(nullptr, &at, static_cast<long>(der.size())));
  if (!certificate) return Error{Fault::corrupt, 0, "not a certificate: " + openssl_errors()};
  return facts_of(certificate.get());
}

}  // namespace coffer::tls
