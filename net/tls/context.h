// What a TLS 1.3 endpoint needs to know before it meets a peer: its certificate, and whom it trusts.
//
// TLS 1.3 only (RFC 8446), ALPN "coffer/1", no session tickets and no resumption: a client whose certificate is revoked
// must come through the whole handshake.
#pragma once

#include <memory>
#include <string>

#include "common/base/result.h"
#include "common/crypto/hash.h"
#include "common/os/disk.h"

struct ssl_ctx_st;

namespace coffer::tls {

/// Paths of PEM files.
struct ServerFiles {
  std::string certificate;  ///< The server's, perhaps with intermediate ones behind it.
  std::string key;
  std::string ca;        ///< Signs clients; sent along with the server's certificate, for the pin in tokens.
  std::string extra_ca;  ///< Further CAs whose clients are let in; empty, or a file that need not exist.
  os::Disk* disk = &os::real_disk();
};

/// Paths of PEM files.
struct ClientIdentity {
  std::string ca_file;  ///< The only CA that is trusted.
  std::string certificate_file;
  std::string key_file;
  os::Disk* disk = &os::real_disk();
};

/// Settings shared by any number of connections. Copies share one object; thread-safe.
class Context {
 public:
  /// Asks for a client certificate: none is let through, one that does not verify fails the handshake.
  /// Fault::local_io, with the path, for a file that cannot be read or used.
  static Result<Context> for_server(const ServerFiles& files);
  /// Fault::local_io as above.
  static Result<Context> for_client(const ClientIdentity& identity);
  /// Without a certificate of its own; trusts the CA certificate with that SHA-256, which the server sends.
  static Result<Context> for_enrolment(const crypto::Digest& ca_pin);

  ssl_ctx_st* native() const { return context_.get(); }

 private:
  explicit Context(std::shared_ptr<ssl_ctx_st> context) : context_(std::move(context)) {}
  std::shared_ptr<ssl_ctx_st> context_;
};

}  // namespace coffer::tls
