#include "net/tls/context.h"

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <sys/stat.h>

#include <cstring>

#include "common/base/bytes.h"
#include "common/base/check.h"
#include "net/tls/openssl.h"
#include "net/tls/verdict.h"

namespace coffer::tls {

namespace {

/// ALPN's wire form (RFC 7301): each name behind its length.
constexpr unsigned char kProtocols[] = {8, 'c', 'o', 'f', 'f', 'e', 'r', '/', '1'};

Error unusable(const std::string& path) { return Error{Fault::local_io, 0, path + ": " + openssl_errors()}; }

std::shared_ptr<SSL_CTX> new_context(const SSL_METHOD* method) {
  std::shared_ptr<SSL_CTX> context(SSL_CTX_new(method), SSL_CTX_free);
  COFFER_CHECK(context != nullptr);
  SSL_CTX* c = context.get();
  COFFER_CHECK(SSL_CTX_set_min_proto_version(c, TLS1_3_VERSION) == 1);
  COFFER_CHECK(SSL_CTX_set_max_proto_version(c, TLS1_3_VERSION) == 1);
  SSL_CTX_set_options(c, SSL_OP_NO_TICKET);
  COFFER_CHECK(SSL_CTX_set_num_tickets(c, 0) == 1);
  SSL_CTX_set_session_cache_mode(c, SSL_SESS_CACHE_OFF);
  SSL_CTX_set_mode(c, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER | SSL_MODE_RELEASE_BUFFERS);
  return context;
}

int choose_protocol(SSL*, const unsigned char** chosen, unsigned char* chosen_bytes, const unsigned char* offered,
                    unsigned int offered_bytes, void*) {
  unsigned char* out = nullptr;
  const int found = SSL_select_next_proto(&out, chosen_bytes, kProtocols, sizeof(kProtocols), offered, offered_bytes);
  *chosen = out;
  return found == OPENSSL_NPN_NEGOTIATED ? SSL_TLSEXT_ERR_OK : SSL_TLSEXT_ERR_ALERT_FATAL;
}

Result<void> use_own_certificate(SSL_CTX* context, const std::string& certificate, const std::string& key) {
  ERR_clear_error();
  if (SSL_CTX_use_certificate_chain_file(context, certificate.c_str()) != 1) return unusable(certificate);
  if (SSL_CTX_use_PrivateKey_file(context, key.c_str(), SSL_FILETYPE_PEM) != 1) return unusable(key);
  if (SSL_CTX_check_private_key(context) != 1) return unusable(key);
  return {};
}

bool exists(const std::string& path) {
  struct stat status {};
  return !path.empty() && stat(path.c_str(), &status) == 0;
}

Result<void> trust(SSL_CTX* context, const std::string& ca) {
  ERR_clear_error();
  if (SSL_CTX_load_verify_file(context, ca.c_str()) != 1) return unusable(ca);
  return {};
}

/// Tells clients which CAs are known, so that one with several certificates can choose.
Result<void> name_ca_to_clients(SSL_CTX* context, const std::string& ca) {
  STACK_OF(X509_NAME)* names = SSL_load_client_CA_file(ca.c_str());
  if (names == nullptr) return unusable(ca);
  SSL_CTX_set_client_CA_list(context, names);
  return {};
}

/// The pin in a token is the CA's: so the CA must be among what the server sends.
Result<void> send_ca_along(SSL_CTX* context, const std::string& ca) {
  const BioPtr file(BIO_new_file(ca.c_str(), "r"));
  if (!file) return unusable(ca);
  X509* certificate = PEM_read_bio_X509(file.get(), nullptr, nullptr, nullptr);
  if (certificate == nullptr) return unusable(ca);
  if (SSL_CTX_add0_chain_cert(context, certificate) != 1) {
    X509_free(certificate);
    return unusable(ca);
  }
  return {};
}

bool has_fingerprint(X509* certificate, const crypto::Digest& wanted) {
  crypto::Digest digest;
  unsigned int bytes = 0;
  return X509_digest(certificate, EVP_sha256(), reinterpret_cast<unsigned char*>(digest.data()), &bytes) == 1 &&
         digest == wanted;
}

/// Verifies the chain as usual, with the one certificate in it that matches the pin as the only trusted one.
int verify_by_pin(X509_STORE_CTX* verification, void* pin) {
  const STACK_OF(X509)* sent = X509_STORE_CTX_get0_untrusted(verification);
  STACK_OF(X509)* trusted = sk_X509_new_null();
  for (int i = 0; i < sk_X509_num(sent); ++i) {
    X509* certificate = sk_X509_value(sent, i);
    if (has_fingerprint(certificate, *static_cast<const crypto::Digest*>(pin))) sk_X509_push(trusted, certificate);
  }
  X509_STORE_CTX_set0_trusted_stack(verification, trusted);
  const int holds = X509_verify_cert(verification);
  X509_STORE_CTX_set0_trusted_stack(verification, nullptr);
  sk_X509_free(trusted);
  return holds > 0 ? 1 : 0;
}

}  // namespace

Result<Context> Context::for_server(const ServerFiles& files) {
  std::shared_ptr<SSL_CTX> context = new_context(TLS_server_method());
  SSL_CTX* c = context.get();
  COFFER_DO(use_own_certificate(c, files.certificate, files.key));
  COFFER_DO(send_ca_along(c, files.ca));
  COFFER_DO(trust(c, files.ca));
  COFFER_DO(name_ca_to_clients(c, files.ca));
  if (exists(files.extra_ca)) COFFER_DO(trust(c, files.extra_ca));
  SSL_CTX_set_alpn_select_cb(c, choose_protocol, nullptr);
  SSL_CTX_set_verify(c, SSL_VERIFY_PEER, note_verdict);
  return Context(std::move(context));
}

Result<Context> Context::for_client(const ClientIdentity& identity) {
  std::shared_ptr<SSL_CTX> context = new_context(TLS_client_method());
  SSL_CTX* c = context.get();
  COFFER_DO(use_own_certificate(c, identity.certificate_file, identity.key_file));
  COFFER_DO(trust(c, identity.ca_file));
  COFFER_CHECK(SSL_CTX_set_alpn_protos(c, kProtocols, sizeof(kProtocols)) == 0);
  SSL_CTX_set_verify(c, SSL_VERIFY_PEER, note_verdict);
  return Context(std::move(context));
}

Result<Context> Context::for_enrolment(const crypto::Digest& ca_pin) {
  const std::shared_ptr<SSL_CTX> context = new_context(TLS_client_method());
  SSL_CTX* c = context.get();
  COFFER_CHECK(SSL_CTX_set_alpn_protos(c, kProtocols, sizeof(kProtocols)) == 0);
  SSL_CTX_set_verify(c, SSL_VERIFY_PEER, note_verdict);
  // The pin lives as long as any copy of the context: a deleter that holds both owns the pair.
  auto pin = std::make_shared<crypto::Digest>(ca_pin);
  SSL_CTX_set_cert_verify_callback(c, verify_by_pin, pin.get());
  return Context(std::shared_ptr<SSL_CTX>(c, [context, pin](SSL_CTX*) {}));
}

}  // namespace coffer::tls
