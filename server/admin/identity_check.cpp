#include "server/admin/identity_check.h"

#include <filesystem>

#include "common/crypto/wipe.h"
#include "common/os/clock.h"

namespace coffer::admin {
namespace {

constexpr const char* kRestore = "restore it from a copy; with a new CA every client has to enrol again";
constexpr const char* kRemove = "remove tls/server.pem and tls/server.key: the next start makes new ones";

class IdentityCheck {
 public:
  explicit IdentityCheck(const ServerFolder& folder) : files_(folder.tls_files()), ca_key_(folder.tls() + "/ca.key") {}

  std::vector<std::string> run() {
    ca();
    server();
    return std::move(damage_);
  }

 private:
  void find(const std::string& file, const std::string& what, const char* remedy) {
    damage_.push_back(file + ": " + what + "; " + remedy);
  }

  /// Empty, and found, where the file is no certificate that is valid now.
  std::string certificate(const std::string& path, const char* name, const char* remedy) {
    const Result<std::string> pem = read_text(path);
    const auto now = os::real_clock().now();
    if (!pem) return find(name, "it cannot be read", remedy), std::string();
    const Result<tls::CertificateFacts> facts = tls::read_certificate(*pem);
    if (!facts) return find(name, "it is damaged", remedy), std::string();
    if (facts->not_after <= now) return find(name, "it has expired", remedy), std::string();
    if (facts->not_before > now) return find(name, "it is not valid yet", "set this machine's clock"), std::string();
    return *pem;
  }

  void key(const std::string& path, const char* name, const std::string& pem, const char* remedy) {
    Result<std::string> key = read_text(path);
    if (!key) return find(name, "it cannot be read", remedy);
    const Result<bool> fits = tls::fits(pem, as_bytes(*key));
    crypto::wipe(std::as_writable_bytes(std::span(*key)));
    if (!fits || !*fits) find(name, "it is damaged, or does not fit its certificate", remedy);
  }

  void ca() {
    ca_ = certificate(files_.ca, "tls/ca.pem", kRestore);
    if (ca_.empty()) return;
    // It signs itself: one bit that differs is found by that.
    const Result<bool> holds = tls::was_issued_by(ca_, ca_);
    if (!holds || !*holds) find("tls/ca.pem", "it is damaged: its signature does not hold", kRestore);
    key(ca_key_, "tls/ca.key", ca_, kRestore);
  }

  void server() {
    if (!std::filesystem::exists(files_.certificate)) return;  // Made by the first start.
    const std::string pem = certificate(files_.certificate, "tls/server.pem", kRemove);
    if (pem.empty()) return;
    const Result<bool> holds = ca_.empty() ? Result<bool>(true) : tls::was_issued_by(pem, ca_);
    if (!holds || !*holds) find("tls/server.pem", "it is damaged, or was not signed by tls/ca.pem", kRemove);
    key(files_.key, "tls/server.key", pem, kRemove);
  }

  const tls::ServerFiles files_;
  const std::string ca_key_;
  std::string ca_;
  std::vector<std::string> damage_;
};

}  // namespace

std::vector<std::string> check_identity(const ServerFolder& folder) { return IdentityCheck(folder).run(); }

}  // namespace coffer::admin
