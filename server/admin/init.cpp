#include <filesystem>
#include <iostream>

#include "server/admin/commands.h"
#include "server/admin/new_server.h"

namespace coffer::admin {
namespace {

void say_what_next(const std::string& dir, const Configuration& configuration) {
  std::cout << "Made a server in " << dir << ". Clients reach it as " << configuration.hosts.front() << " port "
            << configuration.port << ".\n\nNext:\n"
            << "  cofferd serve --dir " << dir << "           runs it; or enable packaging/systemd/cofferd.service\n"
            << "  cofferd invite NAME --dir " << dir << "     prints a token for one client\n\n"
            << "Keep copies of " << dir << "/tls and " << dir << "/receipt.key in a safe place: without them clients\n"
            << "trust no server that is restored from a backup.\n";
}

}  // namespace

Result<int> init(const InitOptions& options) {
  std::error_code code;
  const std::string dir = std::filesystem::absolute(options.dir, code).lexically_normal().string();
  if (code) return os_error(code.value(), options.dir);
  const ServerFolder folder(dir);
  COFFER_DO(check_free(folder));
  for (const std::string& host : options.hosts) {
    COFFER_DO(parse_address(host.find(':') == std::string::npos ? host : "[" + host + "]", limits::kDefaultPort));
  }
  COFFER_DO(folder.disk().make_folder(dir));
  std::filesystem::permissions(dir, std::filesystem::perms::owner_all, code);  // It may have been there.
  if (code) return os_error(code.value(), dir);
  Configuration configuration;
  configuration.hosts = options.hosts.empty() ? default_hosts() : options.hosts;
  COFFER_DO(make_server(folder, configuration));
  say_what_next(options.dir, configuration);
  return kExitDone;
}

}  // namespace coffer::admin
