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
  CommitLoop(const Parts& parts, std::shared_ptr<Uploader::State> state,
             std::function<void(const Error&)> lease_doubted)
      : parts_(parts), state_(std::move(state)), lease_doubted_(std::move(lease_doubted)) {}

  /// Returns when the state says `stopping`.
  void run();

 private:
  struct Next {
    Bytes bytes;
    std::vector<meta::CarriedChunk> carried;
  };

  Result<std::optional<Next>> next(std::uint64_t epoch, bool carries);
  Result<std::optional<Next>> pending_or_new(std::uint64_t epoch, bool carries);
  Result<std::vector<meta::CarriedChunk>> little_that_is_owed();
  Result<object::Receipt> send(const Next& next);
  void release_what_went_along();
  void append(const Next& next, std::uint64_t epoch);
  void refused(const Error& error, std::uint64_t epoch);
  Result<void> send_lost_chunks_again();
  void end_quota_problem();
  void pause(std::chrono::milliseconds time);

  Parts parts_;
  std::vector<ChunkRow> went_along_;  ///< Still owed, as the spool knows it.
  std::shared_ptr<Uploader::State> state_;
  std::function<void(const Error&)> lease_doubted_;
};

}  // namespace coffer::upload
