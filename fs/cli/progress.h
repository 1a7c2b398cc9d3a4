// How far the upload is, for a person who waits.
#pragma once

#include <chrono>
#include <cstdint>

#include "fs/cli/terminal.h"
#include "fs/vault/status.h"

namespace coffer::cli {

class UploadProgress {
 public:
  /// The bar is full when nothing is owed; its whole is the most that was owed since it began.
  void show(const vault::Status& status);

 private:
  ProgressLine line_;
  std::uint64_t most_ = 0;
  std::uint64_t sent_at_first_ = 0;
  std::chrono::steady_clock::time_point first_{};
};

}  // namespace coffer::cli
