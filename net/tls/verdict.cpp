#include "net/tls/verdict.h"

#include <openssl/ssl.h>

#include "net/tls/certificate.h"
#include "net/tls/openssl.h"

namespace coffer::tls {

namespace {

/// What a stranger wrote into a certificate must not start a new line in a log.
std::string printable(std::string text) {
  constexpr std::size_t kBytesMax = 200;
  text.resize(std::min(text.size(), kBytesMax));
  for (char& c : text) {
    if (c < 0x20 || c > 0x7e) c = '?';
  }
  return text;
}

std::string first_uri(X509* certificate) {
  unsigned char* der = nullptr;
  const int bytes = i2d_X509(certificate, &der);
  if (bytes <= 0) return "";
  const auto facts = read_certificate_der(std::as_bytes(std::span(der, static_cast<std::size_t>(bytes))));
  OPENSSL_free(der);
  return facts && !facts->uris.empty() ? facts->uris.front() : "";
}

}  // namespace

int note_verdict(int holds, X509_STORE_CTX* verification) {
  if (holds == 1) return 1;
  const auto* ssl =
      static_cast<const SSL*>(X509_STORE_CTX_get_ex_data(verification, SSL_get_ex_data_X509_STORE_CTX_idx()));
  auto* verdict = ssl != nullptr ? static_cast<Verdict*>(SSL_get_app_data(ssl)) : nullptr;
  if (verdict == nullptr || !verdict->reason.empty()) return holds;
  verdict->reason = X509_verify_cert_error_string(X509_STORE_CTX_get_error(verification));
  if (X509* certificate = X509_STORE_CTX_get0_cert(verification)) {
    verdict->subject = printable(name_text(X509_get_subject_name(certificate)));
    verdict->uri = printable(first_uri(certificate));
  }
  return holds;
}

}  // namespace coffer::tls
