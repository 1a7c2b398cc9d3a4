// The thread that appends commits to the vault's log. For fs/upload only.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <optional>

#include "fs/upload/state.h"

namespace coffer::upload {

class CommitLoop {
 public:
  CommitLoop(const Parts& parts, std::shared_ptr<Uploader::State> state, std::function<void(const Error&)> lease_lost)
      : parts_(parts), state_(std::move(state)), lease_lost_(std::move(lease_lost)) {}

  /// Returns when the state says `stopping`.
  void run();

 private:
  Result<std::optional<Bytes>> next(std::uint64_t epoch);
  void append(Bytes commit, std::uint64_t epoch);
  void pause(std::chrono::milliseconds time);

  Parts parts_;
  std::shared_ptr<Uploader::State> state_;
  std::function<void(const Error&)> lease_lost_;
};

}  // namespace coffer::upload
