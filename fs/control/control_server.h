// The control socket of a mounted vault: HOME/vaults/NAME/control.sock, mode 0600, one request a connection.
//
// A request is one line of JSON, and so is its last answer; progress lines may come before it. Both end with '\n'.
//
//     {"do":"status"}                                  {"ok":true,"status":{…}}       see fs/vault/status.h
//     {"do":"sync","timeout_s":60}                     {"progress":{…status…}} …      {"ok":true} when committed
//     {"do":"verify","paths":["/a"],"read_data":true,  {"done":1,"of":9} … {"finding":{"kind":"corrupt","path":"/a/b",
//      "against":"/local/folder"}                       "what":"…"}} … {"ok":true,"files":1,"bytes":1,"chunks":1,
//                                                       "chunk_bytes":1,"compared_files":1}
//     {"do":"owed"}                                    {"entry":{"path":"/a","what":["content"],"bytes":1,"since_ns":1,
//                                                       "why":"…"}} … {"ok":true}
//     {"do":"export_owed","to":"/local/folder"}        {"done":1,"of":9} … {"removed":"/a"} … {"not_exported":{"path":
//                                                       "/a","what":"…","is_only_here":true}} … {"ok":true,"files":1,
//                                                       "folders":1,"bytes":1}
//     {"do":"clear_spool"}                             {"ok":true}
//     {"do":"stop","lazy":false}                       {"ok":true}                    the mount is unmounted, and its
//                                                                                     process closes the vault and ends
//
// A timeout of 0 waits for as long as it takes; kinds of findings are corrupt, different and owed. stop does not wait
// for the server: sync comes before it, unless what is owed may stay owed. It fails, and nothing is unmounted, where
// what was written cannot be kept on the local disk.
//
// An error is {"ok":false,"fault":"offline","code":110,"what":"a sentence"}; fault is one of common/base/result.h. Who
// closes the connection gives up the request. The socket's mode is the only right that is checked.
#pragma once

#include <functional>
#include <memory>
#include <stop_token>
#include <string>

#include "common/base/result.h"
#include "fs/vault/vault.h"

namespace coffer::control {

/// Thread-safe. One accepting thread, and one for each connection, at most kConnectionsMax.
class ControlServer {
 public:
  /// Brings what only the kernel has to the vault's FileSystem; before each barrier. None where nothing is mounted.
  using PushPages = std::function<Result<void>(const std::stop_token& stop)>;

  /// Replaces a socket that a killed process left: the caller holds the vault's FolderLock. `unmount` is called on a
  /// connection's thread and must not wait for this object. `vault` must outlive the server.
  static Result<std::unique_ptr<ControlServer>> listen(const std::string& path, vault::Vault& vault,
                                                       std::function<Result<void>(bool lazy)> unmount,
                                                       PushPages push_pages = {});
  /// Ends every connection and waits for its thread.
  ~ControlServer();

 private:
  class State;
  explicit ControlServer(std::shared_ptr<State> state);
  std::shared_ptr<State> state_;
};

inline constexpr unsigned kConnectionsMax = 16;

}  // namespace coffer::control
