#include <signal.h>
#include <sys/resource.h>
#include <systemd/sd-daemon.h>

#include <cerrno>
#include <ctime>

#include "common/base/log.h"
#include "common/crypto/wipe.h"
#include "common/os/heap.h"
#include "server/admin/commands.h"
#include "server/admin/running_server.h"

namespace coffer::admin {
namespace {

/// A revocation made by a command beside this process ends connections within a second.
constexpr std::timespec kLookEvery{.tv_sec = 0, .tv_nsec = 200'000'000};

/// Blocks the signals that end the server, so that no thread made later takes them: sigtimedwait(2) does.
sigset_t take_signals() {
  sigset_t ending;
  ::sigemptyset(&ending);
  ::sigaddset(&ending, SIGTERM);
  ::sigaddset(&ending, SIGINT);
  ::pthread_sigmask(SIG_BLOCK, &ending, nullptr);
  ::signal(SIGPIPE, SIG_IGN);
  return ending;
}

/// Every connection and every pack that is read is a descriptor.
void raise_descriptor_limit() {
  struct rlimit limit {};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  limit.rlim_cur = limit.rlim_max;
  (void)::setrlimit(RLIMIT_NOFILE, &limit);
}

Result<Address> listen_address(const ServerFolder& folder, const std::string& asked) {
  COFFER_TRY(const Configuration configuration, read_configuration(folder.configuration()));
  if (!asked.empty()) return parse_address(asked, configuration.port);
  return Address{.host = configuration.listen_host, .port = configuration.port};
}

}  // namespace

Result<int> serve(const ServeOptions& options) {
  const sigset_t ending = take_signals();
  raise_descriptor_limit();
  os::keep_freed_memory();
  crypto::protect_process_memory();
  COFFER_TRY(const ServerFolder folder, ServerFolder::find(options.dir));
  COFFER_TRY(const Address listen, listen_address(folder, options.listen));
  COFFER_TRY(const auto server, RunningServer::start(folder, listen));
  log::info("serving", {{"address", format_address(server->address())}});
  ::sd_notify(0, "READY=1");

  for (;;) {
    const int signal = ::sigtimedwait(&ending, nullptr, &kLookEvery);
    if (signal > 0) {
      log::info("stopping", {{"signal", signal}});
      break;
    }
    server->look_at_accounts();
  }
  ::sd_notify(0, "STOPPING=1");
  server->stop();
  log::info("stopped");
  return kExitDone;
}

}  // namespace coffer::admin
