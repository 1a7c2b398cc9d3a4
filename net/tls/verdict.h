// What the verification of a peer's certificate found, for the log and for the user. For net/tls and net/rpc only.
#pragma once

#include <string>

struct x509_store_ctx_st;

namespace coffer::tls {

/// Of the first certificate that did not verify; empty where all did.
struct Verdict {
  std::string reason;   ///< OpenSSL's words, as in "certificate has expired".
  std::string subject;  ///< Fit for a log.
  std::string uri;      ///< The first SAN URI, or empty.
};

/// A verify callback that writes into the Verdict of the SSL object (SSL_set_app_data) and changes no decision.
int note_verdict(int holds, x509_store_ctx_st* verification);

}  // namespace coffer::tls
