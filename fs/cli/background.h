// A process that goes on in the background once it is usable.
#pragma once

#include <functional>
#include <string>

#include "common/base/result.h"

namespace coffer::cli {

/// Tells the process that waits for it; calls may come from any thread, and only the first counts.
class Readiness {
 public:
  explicit Readiness(int fd) : fd_(fd) {}
  /// It is usable: `what` is for the person who started it. The process leaves its terminal.
  void ready(const std::string& what) const;
  void failed(const std::string& why, int exit_code) const;

 private:
  int fd_;
};

/// Forks before there are threads. The child runs `work` with stderr in `log_file` and ends with what it returns; the
/// parent returns once the child said ready (0) or failed, or ended, and has printed what it said.
Result<int> run_in_background(const std::string& log_file, const std::function<int(const Readiness&)>& work);

}  // namespace coffer::cli
