#include "net/tls/openssl.h"

#include <openssl/err.h>
#include <openssl/pem.h>

#include "common/base/check.h"

namespace coffer::tls {

namespace {

std::string content_of(BIO* bio) {
  char* data = nullptr;
  const long bytes = BIO_get_mem_data(bio, &data);
  return bytes > 0 ? std::string(data, static_cast<std::size_t>(bytes)) : std::string();
}

/// Keys with a passphrase are not read: without this OpenSSL would ask on the terminal.
int no_passphrase(char*, int, int, void*) { return -1; }

}  // namespace

std::string openssl_errors() {
  std::string text;
  while (const unsigned long code = ERR_get_error()) {
    const char* reason = ERR_reason_error_string(code);
    if (!text.empty()) text += ", ";
    text += reason != nullptr ? reason : "error " + std::to_string(code);
  }
  return text.empty() ? "unknown error" : text;
}

BioPtr read_bio(ByteView bytes) { return BioPtr(BIO_new_mem_buf(bytes.data(), static_cast<int>(bytes.size()))); }

Result<X509Ptr> parse_certificate(std::string_view pem) {
  const BioPtr bio = read_bio(as_bytes(pem));
  X509Ptr certificate(PEM_read_bio_X509(bio.get(), nullptr, no_passphrase, nullptr));
  if (!certificate) return Error{Fault::corrupt, 0, "not a PEM certificate: " + openssl_errors()};
  return certificate;
}

Result<KeyPtr> parse_key(ByteView pem) {
  const BioPtr bio = read_bio(pem);
  KeyPtr key(PEM_read_bio_PrivateKey(bio.get(), nullptr, no_passphrase, nullptr));
  if (!key) return Error{Fault::corrupt, 0, "not a PEM private key: " + openssl_errors()};
  return key;
}

std::string to_pem(X509* certificate) {
  const BioPtr bio(BIO_new(BIO_s_mem()));
  COFFER_CHECK(PEM_write_bio_X509(bio.get(), certificate) == 1);
  return content_of(bio.get());
}

std::string name_text(const X509_NAME* name) {
  const BioPtr bio(BIO_new(BIO_s_mem()));
  if (X509_NAME_print_ex(bio.get(), name, 0, XN_FLAG_RFC2253) < 0) return "";
  return content_of(bio.get());
}

}  // namespace coffer::tls
