// Keys and X.509 certificates (RFC 5280): makes those of a CA, a server and a client, and reads anyone's.
//
// Certificates and keys travel as PEM, signing requests as DER (PKCS #10, RFC 2986). All functions are thread-safe and
// keep nothing. Input that cannot be parsed is Fault::corrupt.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/bytes.h"
#include "common/base/result.h"
#include "common/crypto/hash.h"
#include "common/crypto/wipe.h"
#include "common/object/ids.h"
#include "common/os/clock.h"

namespace coffer::tls {

enum class KeyKind { ec_p256, rsa_4096 };

/// A new private key, PEM (PKCS #8, not encrypted).
crypto::Secret make_key(KeyKind kind = KeyKind::ec_p256);
/// A signing request, DER, for any key that OpenSSL reads: EC, RSA, Ed25519.
Result<Bytes> make_csr(ByteView key_pem, std::string_view common_name);

/// SHA-256 of the request's public key (SubjectPublicKeyInfo, DER). Fault::refused as issue_certificate().
Result<crypto::Digest> public_key_of(ByteView csr_der);

struct KeyAndCsr {
  crypto::Secret key_pem;
  Bytes csr_der;
};
/// An EC P-256 key and its signing request.
KeyAndCsr make_key_pair_and_csr(std::string_view common_name);

struct Validity {
  os::WallTime not_before;
  os::WallTime not_after;
};
/// From an hour ago, because clocks differ, until `lifetime` from now.
Validity valid_for(os::Clock& clock, std::chrono::hours lifetime);

struct Authority {
  std::string certificate_pem;
  crypto::Secret key_pem;
};
/// A self-signed CA with an EC P-256 key that may sign leaf certificates only.
Authority make_ca(std::string_view common_name, const Validity& validity);

enum class Purpose { server, client };

struct NewCertificate {
  std::string common_name;
  Purpose purpose = Purpose::client;
  std::vector<std::string> hosts;  ///< SAN DNS names and IP addresses.
  std::vector<std::string> uris;   ///< SAN URIs.
  Validity validity{};
};

/// Checks the request's own signature and signs a certificate for its key, with a random 126-bit serial number. Of the
/// request only the key is used: subject and names are what `wanted` says. Fault::refused for a request whose
/// signature does not hold or whose key is weaker than RSA 2048; Fault::corrupt for an authority that cannot be read.
Result<std::string> issue_certificate(const Authority& authority, ByteView csr_der, const NewCertificate& wanted);

/// "urn:coffer:client:<32 hex>"
std::string client_uri(const object::ClientId& client);

struct CertificateFacts {
  std::string subject;                     ///< One line, as in "CN=laptop".
  std::string common_name;                 ///< Empty where it has none.
  std::vector<std::string> uris;           ///< SAN URIs.
  std::vector<std::string> hosts;          ///< SAN DNS names and IP addresses.
  std::optional<object::ClientId> client;  ///< Of the first URI that names one.
  std::string serial;                      ///< Lower-case hexadecimal.
  crypto::Digest fingerprint{};            ///< SHA-256 of the DER form.
  os::WallTime not_before{};
  os::WallTime not_after{};
};

/// The first certificate in `pem`.
Result<CertificateFacts> read_certificate(std::string_view pem);
/// The same of a certificate in DER form.
Result<CertificateFacts> read_certificate_der(ByteView der);

/// True if `certificate_pem` carries the public half of `key_pem`, and verifies what that signs.
Result<bool> fits(std::string_view certificate_pem, ByteView key_pem);
/// True if `certificate_pem` was signed by `ca_pem`; says nothing about time or purpose.
Result<bool> was_issued_by(std::string_view certificate_pem, std::string_view ca_pem);

}  // namespace coffer::tls
