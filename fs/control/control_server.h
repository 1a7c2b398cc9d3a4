// The control socket of a mounted vault: HOME/vaults/NAME/control.sock, mode 0600, one request a connection.
//
// A request is one line of JSON, and so is its last answer; progress lines may come before it. Both end with '\n'.
//
//     {"do":"status"}                                    {"ok":true,"status":{…}}        vault/status.h
//     {"do":"sync","timeout_s":60}                       {"progress":{…status…}} …       then {"ok":true} or the error
//     {"do":"verify","paths":["/a"],"read_data":true}    {"file":"/a","bytes":1,"damage":""} … {"ok":true}
//     {"do":"clear_spool"}                               {"ok":true}
//     {"do":"stop","now":false,"lazy":false}             {"progress":{…}} … {"ok":true}  then the mount ends
//
// An error is {"ok":false,"fault":"offline","code":110,"what":"a sentence"}; fault is one of common/base/result.h. Who
// closes the connection gives up the request. The socket's mode is the only right that is checked.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "common/base/result.h"
#include "fs/vault/vault.h"

namespace coffer::control {

/// Thread-safe. One accepting thread, and one for each connection, at most kConnectionsMax.
class ControlServer {
 public:
  /// Replaces a socket that a killed process left: the caller holds the vault's FolderLock. `stop` unmounts; it is
  /// called on a connection's thread and must not wait for this object. Both must outlive the server.
  static Result<std::unique_ptr<ControlServer>> listen(const std::string& path, vault::Vault& vault,
                                                       std::function<void()> stop);
  /// Ends every connection and waits for its thread.
  ~ControlServer();

 private:
  class State;
  explicit ControlServer(std::shared_ptr<State> state);
  std::shared_ptr<State> state_;
};

inline constexpr unsigned kConnectionsMax = 16;

}  // namespace coffer::control
