#include "net/tls/context.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>

#include <utility>
#include <vector>

#include "common/base/bytes.h"
#include "common/base/check.h"
#include "common/crypto/wipe.h"
#include "common/os/paths.h"
#include "net/tls/openssl.h"
#include "net/tls/verdict.h"

namespace coffer::tls {

namespace {

/// ALPN's wire form (RFC 7301): each name behind its length.
constexpr unsigned char kProtocols[] = {8, 'c', 'o', 'f', 'f', 'e', 'r', '/', '1'};

constexpr std::size_t kPemBytesMax = 1u << 20;

Error unusable(const std::string& path) { return Error{Fault::local_io, 0, path + ": " + openssl_errors()}; }

/// Nobody is asked on the terminal.
int no_passphrase(char*, int, int, void*) { return -1; }

/// The certificates of a PEM file, in its order; at least one.
Result<std::vector<X509Ptr>> read_certificates(os::Disk& disk, const std::string& path) {
  const Result<Bytes> pem = os::read_file(disk, path, kPemBytesMax);
  if (!pem) return Error(pem.error()).in(path);
  ERR_clear_error();
  const BioPtr bio = read_bio(*pem);
  std::vector<X509Ptr> certificates;
  for (;;) {
    X509Ptr next(PEM_read_bio_X509(bio.get(), nullptr, no_passphrase, nullptr));
    if (!next) break;
    certificates.push_back(std::move(next));
  }
  // After the last one OpenSSL finds no further start of a line; anything else is damage.
  const unsigned long last = ERR_peek_last_error();
  const bool is_end = ERR_GET_LIB(last) == ERR_LIB_PEM && ERR_GET_REASON(last) == PEM_R_NO_START_LINE;
  if (certificates.empty() || !is_end) return unusable(path);
  ERR_clear_error();
  return certificates;
}

Result<KeyPtr> read_key(os::Disk& disk, const std::string& path) {
  Result<Bytes> pem = os::read_file(disk, path, kPemBytesMax);
  if (!pem) return std::move(pem).error().in(path);
  Result<KeyPtr> key = parse_key(*pem);
  crypto::wipe(*pem);
  if (!key) return Error{Fault::local_io, 0, path + ": " + key.error().what};
  return key;
}

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

/// The first certificate of the file is the endpoint's own, those behind it lead to the CA.
Result<void> use_own_certificate(SSL_CTX* context, os::Disk& disk, const std::string& certificate,
                                 const std::string& key) {
  COFFER_TRY(const std::vector<X509Ptr> chain, read_certificates(disk, certificate));
  COFFER_TRY(const KeyPtr own_key, read_key(disk, key));
  if (SSL_CTX_use_certificate(context, chain.front().get()) != 1) return unusable(certificate);
  for (std::size_t i = 1; i < chain.size(); ++i) {
    if (SSL_CTX_add1_chain_cert(context, chain[i].get()) != 1) return unusable(certificate);
  }
  if (SSL_CTX_use_PrivateKey(context, own_key.get()) != 1) return unusable(key);
  if (SSL_CTX_check_private_key(context) != 1) return unusable(key);
  return {};
}

Result<void> trust(SSL_CTX* context, os::Disk& disk, const std::string& ca) {
  COFFER_TRY(const std::vector<X509Ptr> certificates, read_certificates(disk, ca));
  for (const X509Ptr& certificate : certificates) {
    if (X509_STORE_add_cert(SSL_CTX_get_cert_store(context), certificate.get()) != 1) return unusable(ca);
  }
  return {};
}

/// Tells clients which CAs are known, so that one with several certificates can choose. And the pin in a token is the
/// CA's: so the CA must be among what the server sends.
Result<void> show_ca_to_clients(SSL_CTX* context, os::Disk& disk, const std::string& ca) {
  COFFER_TRY(const std::vector<X509Ptr> certificates, read_certificates(disk, ca));
  for (const X509Ptr& certificate : certificates) {
    if (SSL_CTX_add_client_CA(context, certificate.get()) != 1) return unusable(ca);
  }
  if (SSL_CTX_add1_chain_cert(context, certificates.front().get()) != 1) return unusable(ca);
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
  COFFER_DO(use_own_certificate(c, *files.disk, files.certificate, files.key));
  COFFER_DO(show_ca_to_clients(c, *files.disk, files.ca));
  COFFER_DO(trust(c, *files.disk, files.ca));
  const bool has_extra = !files.extra_ca.empty() && os::is_there(*files.disk, files.extra_ca);
  if (has_extra) COFFER_DO(trust(c, *files.disk, files.extra_ca));
  SSL_CTX_set_alpn_select_cb(c, choose_protocol, nullptr);
  SSL_CTX_set_verify(c, SSL_VERIFY_PEER, note_verdict);
  return Context(std::move(context));
}

Result<Context> Context::for_client(const ClientIdentity& identity) {
  std::shared_ptr<SSL_CTX> context = new_context(TLS_client_method());
  SSL_CTX* c = context.get();
  COFFER_DO(use_own_certificate(c, *identity.disk, identity.certificate_file, identity.key_file));
  COFFER_DO(trust(c, *identity.disk, identity.ca_file));
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
