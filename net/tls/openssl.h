// Owners of OpenSSL's certificate objects, and its error queue as text. For the .cpp files of net/tls only.
#pragma once

#include <openssl/bio.h>
#include <openssl/evp.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include <memory>
#include <string>
#include <string_view>

#include "common/base/bytes.h"
#include "common/base/result.h"

namespace coffer::tls {

template <auto kFree>
struct FreedBy {
  template <class T>
  void operator()(T* object) const {
    kFree(object);
  }
};

using BioPtr = std::unique_ptr<BIO, FreedBy<BIO_free_all>>;
using KeyPtr = std::unique_ptr<EVP_PKEY, FreedBy<EVP_PKEY_free>>;
using X509Ptr = std::unique_ptr<X509, FreedBy<X509_free>>;
using RequestPtr = std::unique_ptr<X509_REQ, FreedBy<X509_REQ_free>>;
using NamesPtr = std::unique_ptr<GENERAL_NAMES, FreedBy<GENERAL_NAMES_free>>;

/// The reasons in this thread's error queue, which is empty afterwards.
std::string openssl_errors();

/// Reads from memory that must outlive the BIO.
BioPtr read_bio(ByteView bytes);
/// The first certificate in `pem`.
Result<X509Ptr> parse_certificate(std::string_view pem);
Result<KeyPtr> parse_key(ByteView pem);
std::string to_pem(X509* certificate);

/// "CN=laptop", fit for a log whatever it holds.
std::string name_text(const X509_NAME* name);

}  // namespace coffer::tls
