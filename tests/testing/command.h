// Runs a program as a person would: arguments in, exit code and output back, with a deadline.
#pragma once

#include <gtest/gtest.h>
#include <sys/types.h>

#include <chrono>
#include <string>
#include <vector>

namespace coffer::testing {

struct Finished {
  int exit_code = -1;  ///< 128 + the signal's number where a signal ended it; -1 where it could not be run.
  std::string out;
  std::string err;
  bool timed_out = false;  ///< It was killed at the deadline.
};

/// Exit code 0; else a failure that shows what the command said.
::testing::AssertionResult succeeded(const Finished& finished);

/// argv[0] is looked up in PATH unless it has a slash. stdin is /dev/null.
Finished run(const std::vector<std::string>& argv, std::chrono::seconds deadline = std::chrono::seconds(60));
/// `script` by /bin/bash with -e.
Finished shell(const std::string& script, std::chrono::seconds deadline = std::chrono::seconds(120));

/// A program that goes on beside the test; killed and reaped with the object.
class Process {
 public:
  /// stdout and stderr are appended to `log_file`.
  Process(const std::vector<std::string>& argv, const std::string& log_file);
  ~Process();
  Process(const Process&) = delete;
  Process& operator=(const Process&) = delete;

  pid_t pid() const { return pid_; }
  bool runs();
  void signal(int number) const;
  /// Waits for its end; the exit code as in Finished, or -1 at the deadline.
  int wait(std::chrono::seconds deadline);

 private:
  pid_t pid_ = -1;
  int exit_code_ = -1;
};

/// The folder of the binaries under test, such as "…/build/release/bin".
std::string bin_folder();

}  // namespace coffer::testing
