// The folder that holds everything a server keeps, and what lies where in it.
//
//     cofferd.toml                         configuration: read by serve and invite
//     tls/ca.pem, ca.key                   signs clients and the server itself
//     tls/server.pem, server.key
//     tls/extra-ca.pem                     optional: further CAs whose clients may be registered
//     receipt.key                          signs receipts (Ed25519)
//     accounts.db                          server/accounts
//     vaults/<vault>/oplog.db, packs/      server/oplog, common/pack
//     run/lock, run/listen                 of the running server: that it runs, and where it can be reached
#pragma once

#include <optional>
#include <string>

#include "common/base/result.h"
#include "common/crypto/sign.h"
#include "common/object/ids.h"
#include "common/os/disk.h"
#include "net/tls/certificate.h"
#include "net/tls/context.h"

namespace coffer::admin {

class ServerFolder {
 public:
  /// Fault::refused unless there is a server in `path`.
  static Result<ServerFolder> find(const std::string& path);
  explicit ServerFolder(std::string path, os::Disk& disk = os::real_disk()) : path_(std::move(path)), disk_(&disk) {}

  const std::string& path() const { return path_; }
  os::Disk& disk() const { return *disk_; }
  std::string configuration() const { return path_ + "/cofferd.toml"; }
  std::string tls() const { return path_ + "/tls"; }
  std::string accounts() const { return path_ + "/accounts.db"; }
  std::string vaults() const { return path_ + "/vaults"; }
  std::string vault(const object::VaultId& id) const { return vaults() + "/" + id.hex(); }
  std::string run() const { return path_ + "/run"; }
  std::string listen() const { return run() + "/listen"; }
  std::string receipt_key() const { return path_ + "/receipt.key"; }
  tls::ServerFiles tls_files() const;

  Result<tls::Authority> load_authority() const;
  Result<crypto::SigningKey> load_receipt_key() const;

 private:
  std::string path_;
  os::Disk* disk_;
};

/// That a server runs on a folder: held by serve until it ends, however it ends.
class RunLock {
 public:
  /// Fault::refused while another server holds it.
  static Result<RunLock> take(const ServerFolder& folder);
  /// True while a server runs on the folder.
  static bool is_held(const ServerFolder& folder);
  ~RunLock();
  RunLock(RunLock&& other) noexcept;
  RunLock& operator=(RunLock&&) = delete;

 private:
  explicit RunLock(int fd) : fd_(fd) {}
  int fd_;
};

/// A whole file as text; what could not be read is named in the Error.
Result<std::string> read_text(const std::string& path, os::Disk& disk = os::real_disk());
Result<void> write_text(const std::string& path, std::string_view text, os::Disk& disk = os::real_disk());

}  // namespace coffer::admin
