// Everything that a server is made of while it runs, built from the bottom up and ended from the top down.
#pragma once

#include <memory>

#include "common/base/result.h"
#include "server/admin/configuration.h"
#include "server/admin/server_folder.h"

namespace coffer::admin {

/// Not thread-safe: for the thread that runs `cofferd serve`, or a test.
class RunningServer {
 public:
  /// Takes the folder's lock, opens all, listens, and serves on threads of its own.
  static Result<std::unique_ptr<RunningServer>> start(const ServerFolder& folder, const Address& listen);
  ~RunningServer();  ///< stop().

  /// Where clients reach it.
  const Address& address() const;
  /// Looks whether the accounts have changed, and whether certificates are over; to be called a few times a second.
  void look_at_accounts();
  /// Lets requests in flight end, brings everything to stable storage. Twice is harmless.
  void stop();

 private:
  struct State;
  explicit RunningServer(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace coffer::admin
