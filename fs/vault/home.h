// The client's home: everything that `coffer` keeps on this machine. Each vault has a folder of its own in it:
//
//     HOME/vaults/NAME/vault.json      server, ids, key file path, the key slots, the server's receipt key
//     HOME/vaults/NAME/tls/            ca.pem, client.pem, client.key
//     HOME/vaults/NAME/tree.db         the whole tree and what is owed (fs/meta)
//     HOME/vaults/NAME/tree.db-redo    what changed it since SQLite's last commit
//     HOME/vaults/NAME/tree.db.loading becomes the tree at the first mount
//     HOME/vaults/NAME/tree.db.cleared was the tree, and is being deleted
//     HOME/vaults/NAME/server-tree.db  the server's log as a tree, while an alarm is looked into
//     HOME/vaults/NAME/spool/          sealed chunks (fs/spool)
//     HOME/vaults/NAME/staging/        small files that are being batched, encrypted (fs/spool)
//     HOME/vaults/NAME/lock            locked while in use (fcntl(2)); holds the pid and the mountpoint
//     HOME/vaults/NAME/control.sock    while mounted (fs/control)
//     HOME/vaults/NAME/exported.json   up to which change everything owed was exported (fs/vault/owed.h)
//     HOME/vaults/NAME/mount.log       what the last mounts logged
//     HOME/enrolling/ID/               an identity that was issued and waits for its vault to be opened
//
// HOME is --home, else COFFER_HOME, else $XDG_DATA_HOME/coffer, else ~/.local/share/coffer. No content and no file
// name lies there in plain; tree.db holds names.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "common/base/result.h"
#include "common/crypto/sign.h"
#include "common/object/ids.h"
#include "common/os/disk.h"
#include "net/rpc/client.h"

namespace coffer::vault {

/// vault.json.
struct VaultSettings {
  std::string name;
  object::VaultId id;
  rpc::Endpoint server;
  object::ClientId client;
  std::string client_name;
  std::string key_file;          ///< Absolute; empty where a passphrase opens the vault.
  std::vector<Bytes> key_slots;  ///< All that were seen on the server and not removed here: a mount works offline.
  /// Of these, those that this machine was removing from the server, until it knows that they are gone there.
  std::vector<Bytes> removing_slots;
  std::string mountpoint;                        ///< Of the last mount.
  std::optional<crypto::PublicKey> receipt_key;  ///< Of the server, as first seen.
  std::string enrolled_as;       ///< Its folder's name in HOME/enrolling, which tells the token; else empty.
  std::vector<Bytes> own_slots;  ///< While enrolling: those that this machine put, or was about to put, on the server.
};

/// Paths of one vault's folder, and the disk that they are on.
struct VaultFolder {
  std::string path;
  os::Disk* disk = &os::real_disk();

  std::string settings() const { return path + "/vault.json"; }
  std::string ca() const { return path + "/tls/ca.pem"; }
  std::string certificate() const { return path + "/tls/client.pem"; }
  std::string certificate_key() const { return path + "/tls/client.key"; }
  std::string tree() const { return path + "/tree.db"; }
  std::string cleared_tree() const { return path + "/tree.db.cleared"; }
  std::string server_tree() const { return path + "/server-tree.db"; }
  std::string spool() const { return path + "/spool"; }
  std::string staging() const { return path + "/staging"; }
  std::string lock() const { return path + "/lock"; }
  std::string control() const { return path + "/control.sock"; }
  std::string exported() const { return path + "/exported.json"; }
  std::string log() const { return path + "/mount.log"; }
};

Result<VaultSettings> read_settings(const VaultFolder& folder);
Result<void> write_settings(const VaultFolder& folder, const VaultSettings& settings);
rpc::ClientOptions client_options(const VaultFolder& folder, const VaultSettings& settings);

/// Thread-safe; holds nothing but the path and the disk.
class Home {
 public:
  explicit Home(std::string path, os::Disk& disk = os::real_disk()) : path_(std::move(path)), disk_(&disk) {}
  /// `given` if not empty, else as the head of this file says. Fault::refused where there is no HOME either.
  static Result<Home> find(const std::string& given);

  const std::string& path() const { return path_; }
  os::Disk& disk() const { return *disk_; }
  VaultFolder folder(const std::string& vault_name) const { return {vaults() + "/" + vault_name, disk_}; }
  std::string vaults() const { return path_ + "/vaults"; }
  std::string enrolling() const { return path_ + "/enrolling"; }
  VaultFolder enrolling(const std::string& id) const { return {enrolling() + "/" + id, disk_}; }
  /// Names of the vaults that are enrolled here, sorted.
  Result<std::vector<std::string>> vault_names() const;
  /// The vault called `name`, or the only one if `name` is empty; Fault::refused with what to do otherwise.
  Result<VaultFolder> choose(const std::string& name) const;

 private:
  std::string path_;
  os::Disk* disk_;
};

/// The right to use a vault's folder, held by one process at a time; given back by the destructor.
class FolderLock {
 public:
  /// Fault::refused with EBUSY, naming the other's pid and mountpoint. `mountpoint` may be empty.
  static Result<FolderLock> take(const VaultFolder& folder, const std::string& mountpoint);
  ~FolderLock();
  FolderLock(FolderLock&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  FolderLock& operator=(FolderLock&&) = delete;

 private:
  explicit FolderLock(int fd) : fd_(fd) {}
  int fd_;
};

/// Where the vault is mounted by a process that lives, if it is.
struct Holder {
  int pid = 0;
  std::string mountpoint;
};
std::optional<Holder> holder_of(const VaultFolder& folder);

}  // namespace coffer::vault
