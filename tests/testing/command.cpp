#include "tests/testing/command.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <utility>

#include "common/base/check.h"
#include "tests/testing/eventually.h"

namespace coffer::testing {
namespace {

int exit_code_of(int status) { return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status); }

/// Starts argv in a process group of its own; returns -1 where it could not be run.
pid_t start(const std::vector<std::string>& argv, int out, int err) {
  std::vector<char*> raw;
  raw.reserve(argv.size() + 1);
  for (const std::string& argument : argv) raw.push_back(const_cast<char*>(argument.c_str()));
  raw.push_back(nullptr);

  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
  posix_spawn_file_actions_adddup2(&actions, out, STDOUT_FILENO);
  posix_spawn_file_actions_adddup2(&actions, err, STDERR_FILENO);
  posix_spawnattr_t attributes;
  posix_spawnattr_init(&attributes);
  posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETPGROUP);
  pid_t pid = -1;
  const int failed = posix_spawnp(&pid, raw[0], &actions, &attributes, raw.data(), environ);
  posix_spawn_file_actions_destroy(&actions);
  posix_spawnattr_destroy(&attributes);
  return failed == 0 ? pid : -1;
}

std::pair<int, int> make_pipe() {
  std::array<int, 2> ends{};
  COFFER_CHECK(pipe2(ends.data(), O_CLOEXEC) == 0);
  return {ends[0], ends[1]};
}

}  // namespace

::testing::AssertionResult succeeded(const Finished& finished) {
  if (finished.exit_code == 0) return ::testing::AssertionSuccess();
  return ::testing::AssertionFailure() << "exit code " << finished.exit_code
                                       << (finished.timed_out ? " (timed out)" : "") << "\n"
                                       << finished.out << finished.err;
}

Finished run(const std::vector<std::string>& argv, std::chrono::seconds deadline) {
  const auto ends_at = std::chrono::steady_clock::now() + deadline;
  const auto [out, out_write] = make_pipe();
  const auto [err, err_write] = make_pipe();
  const pid_t pid = start(argv, out_write, err_write);
  close(out_write);
  close(err_write);

  Finished finished;
  std::array<pollfd, 2> waits = {pollfd{out, POLLIN, 0}, pollfd{err, POLLIN, 0}};
  std::array<std::string*, 2> texts = {&finished.out, &finished.err};
  int open_ends = pid < 0 ? 0 : 2;
  while (open_ends > 0) {
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(ends_at - std::chrono::steady_clock::now());
    if (left.count() <= 0 || poll(waits.data(), waits.size(), static_cast<int>(left.count())) == 0) {
      finished.timed_out = true;
      break;
    }
    for (std::size_t i = 0; i < waits.size(); ++i) {
      if (waits[i].revents == 0) continue;
      std::array<char, 65536> buffer;
      const ssize_t count = read(waits[i].fd, buffer.data(), buffer.size());
      if (count > 0) {
        texts[i]->append(buffer.data(), static_cast<std::size_t>(count));
      } else {
        waits[i].fd = -1;
        --open_ends;
      }
    }
  }
  close(out);
  close(err);
  if (pid < 0) return finished;
  if (finished.timed_out) ::kill(-pid, SIGKILL);
  int status = 0;
  COFFER_CHECK(waitpid(pid, &status, 0) == pid);
  finished.exit_code = exit_code_of(status);
  return finished;
}

Finished shell(const std::string& script, std::chrono::seconds deadline) {
  return run({"/bin/bash", "-e", "-c", script}, deadline);
}

Process::Process(const std::vector<std::string>& argv, const std::string& log_file) {
  const int log = open(log_file.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
  COFFER_CHECK(log >= 0);
  pid_ = start(argv, log, log);
  close(log);
  COFFER_CHECK(pid_ > 0);
}

Process::~Process() {
  if (!runs()) return;
  signal(SIGKILL);
  wait(std::chrono::seconds(20));
}

bool Process::runs() {
  if (exit_code_ >= 0) return false;
  int status = 0;
  if (waitpid(pid_, &status, WNOHANG) != pid_) return true;
  exit_code_ = exit_code_of(status);
  return false;
}

void Process::signal(int number) const { ::kill(pid_, number); }

int Process::wait(std::chrono::seconds deadline) {
  return eventually([this] { return !runs(); }, deadline) ? exit_code_ : -1;
}

std::string bin_folder() { return COFFER_BIN; }

}  // namespace coffer::testing
