// Asks the process that has a vault mounted. control_server.h draws the lines.
#pragma once

#include <chrono>
#include <functional>
#include <string>
#include <vector>

#include "common/base/result.h"
#include "fs/vault/status.h"
#include "fs/vault/vault.h"

namespace coffer::control {

/// One request a call; blocks. Fault::offline if no process listens at the socket.
class ControlClient {
 public:
  explicit ControlClient(std::string socket_path) : path_(std::move(socket_path)) {}

  bool somebody_listens() const;
  Result<vault::Status> status() const;
  /// The barrier. Fault::offline with ETIMEDOUT when `timeout` is over; 0 waits for as long as it takes. `progress`
  /// says whether to go on: Fault::stopped where it does not.
  Result<void> sync(std::chrono::seconds timeout, const std::function<bool(const vault::Status&)>& progress) const;

  Result<vault::VerifyReport> verify(const vault::VerifyRequest& request,
                                     const std::function<void(std::uint64_t done, std::uint64_t of)>& progress) const;
  Result<std::vector<vault::OwedEntry>> owed() const;
  /// `to` is absolute.
  Result<vault::ExportReport> export_owed(const std::string& to, const vault::ExportProgress& progress) const;
  Result<void> clear_spool() const;
  /// Returns when it is unmounted; the process may still be closing the vault. answer(EBUSY) while someone uses it.
  Result<void> unmount(bool lazy) const;

 private:
  std::string path_;
};

}  // namespace coffer::control
