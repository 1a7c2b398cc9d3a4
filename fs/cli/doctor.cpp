// coffer doctor: is this machine fit for it?
#include <fcntl.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <ctime>
#include <iostream>

#include "common/os/clock.h"
#include "common/os/random.h"
#include "fs/cli/command.h"
#include "fs/vault/certificate.h"

namespace coffer::cli {

namespace {

constexpr auto kFirstTry = std::chrono::seconds(2);
constexpr auto kServerDeadline = std::chrono::seconds(10);

class Report {
 public:
  void good(const std::string& what) { std::cout << "good  " << what << "\n"; }
  void bad(const std::string& what) {
    std::cout << "BAD   " << what << "\n";
    is_good_ = false;
  }
  bool is_good() const { return is_good_; }

 private:
  bool is_good_ = true;
};

void check_fuse(Report& report) {
  const int fd = ::open("/dev/fuse", O_RDWR | O_CLOEXEC);
  if (fd >= 0) {
    ::close(fd);
    report.good("/dev/fuse can be opened");
  } else {
    report.bad(std::string("/dev/fuse cannot be opened (") + std::strerror(errno) +  // NOLINT(concurrency-mt-unsafe)
               "): install fuse3, or in a container give it the device and CAP_SYS_ADMIN");
  }
}

std::string date_of(os::WallTime time) {
  const std::time_t seconds =
      std::chrono::system_clock::to_time_t(std::chrono::time_point_cast<std::chrono::system_clock::duration>(time));
  std::tm broken_down{};
  ::gmtime_r(&seconds, &broken_down);
  char text[32];
  std::strftime(text, sizeof(text), "%F", &broken_down);
  return text;
}

void check_certificate(Report& report, const vault::VaultFolder& folder) {
  const Result<os::WallTime> end = vault::certificate_end(folder);
  if (!end) {
    report.bad("certificate: " + end.error().what);
  } else if (*end < os::real_clock().now()) {
    report.bad("the certificate ended on " + date_of(*end) + ": ask for a new token and enrol again");
  } else {
    report.good("the certificate is good until " + date_of(*end));
  }
}

void check_server(Report& report, const vault::VaultFolder& folder, const vault::VaultSettings& settings) {
  rpc::Client client(vault::client_options(folder, settings), os::real_random());
  client.start();
  const auto began = std::chrono::steady_clock::now();
  Result<void> online = client.wait_online(began + kFirstTry);
  if (!online && client.link() == rpc::Link::connecting) online = client.wait_online(began + kServerDeadline);
  const std::string server = settings.server.host + ":" + std::to_string(settings.server.port);
  if (online) {
    report.good(server + " answers and knows this client");
  } else {
    report.bad(server + ": " + online.error().what);
  }
  client.stop();
}

void check_vault(Report& report, const vault::VaultFolder& folder) {
  const Result<vault::VaultSettings> settings = vault::read_settings(folder);
  if (!settings) {
    report.bad(settings.error().what);
    return;
  }
  report.good("vault " + settings->name + " in " + folder.path);
  if (!settings->key_file.empty()) {
    if (::access(settings->key_file.c_str(), R_OK) == 0) {
      report.good("key file " + settings->key_file);
    } else {
      report.bad("the key file " + settings->key_file + " cannot be read: bring it back");
    }
  }
  check_certificate(report, folder);
  check_server(report, folder, *settings);
}

Result<int> doctor(const CommandLine& line) {
  Report report;
  check_fuse(report);
  COFFER_TRY(const vault::Home home, vault::Home::find(line.home));
  COFFER_TRY(const std::vector<std::string> names, home.vault_names());
  if (names.empty()) report.bad("no vault in " + home.path() + ": run `coffer enroll TOKEN`");
  for (const std::string& name : names) {
    if (line.vault.empty() || line.vault == name) check_vault(report, home.folder(name));
  }
  return report.is_good() ? kDone : kFailed;
}

}  // namespace

void add_doctor(CLI::App& app, CommandLine& line) {
  CLI::App* const command = app.add_subcommand("doctor", "Check this machine: FUSE, home, certificate, server");
  command->callback([&line] { line.action = [&line] { return doctor(line); }; });
}

}  // namespace coffer::cli
