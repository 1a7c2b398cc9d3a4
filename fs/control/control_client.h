// Asks the process that has a vault mounted. control_server.h draws the lines.
#pragma once

#include <chrono>
#include <functional>
#include <string>
#include <vector>

#include "common/base/result.h"
#include "fs/vault/status.h"

namespace coffer::control {

/// One request a call; blocks. Fault::offline if no process listens at the socket.
class ControlClient {
 public:
  explicit ControlClient(std::string socket_path) : path_(std::move(socket_path)) {}

  bool somebody_listens() const;
  Result<vault::Status> status() const;
  /// Fault::offline with ETIMEDOUT when the time is over.
  Result<void> sync(std::chrono::seconds timeout, const std::function<void(const vault::Status&)>& progress) const;

  struct Verified {
    std::string path;
    std::uint64_t bytes = 0;
    std::string damage;  ///< Empty if good.
  };
  Result<void> verify(const std::vector<std::string>& paths, bool read_data,
                      const std::function<void(const Verified&)>& found) const;
  Result<void> clear_spool() const;
  /// Returns when the vault is closed, or has begun to unmount.
  Result<void> stop(bool now, const std::function<void(const vault::Status&)>& progress) const;

 private:
  std::string path_;
};

}  // namespace coffer::control
