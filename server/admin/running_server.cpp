#include "server/admin/running_server.h"

#include <algorithm>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <cerrno>
#include <thread>

#include "common/base/log.h"
#include "common/os/disk.h"
#include "common/os/random.h"
#include "net/rpc/server.h"
#include "server/accounts/accounts.h"
#include "server/admin/server_certificate.h"
#include "server/scrub/scrubber.h"
#include "server/service/service.h"

namespace coffer::admin {
namespace {

constexpr unsigned kWriterThreads = 2;

unsigned io_thread_count() { return std::max(1u, std::thread::hardware_concurrency()); }

/// An exception that reaches this edge is a bug of one task: the others go on.
void run_io(boost::asio::io_context& io) {
  for (;;) {
    try {
      io.run();
      return;
    } catch (const std::exception& e) {
      log::error("task failed", {{"what", e.what()}});
    }
  }
}

/// A damaged file is named, and what to do with it.
template <class T>
Result<T> named(Result<T> opened, const std::string& path) {
  if (opened || opened.error().fault != Fault::corrupt) return opened;
  return std::move(opened).error().in(path + " is damaged; restore it from a copy (`cofferd check` names all damage)");
}

Error listen_error(Error error, const Address& listen) {
  const std::string where = listen.host.empty() ? "port " + std::to_string(listen.port) : format_address(listen);
  if (error.code == EADDRINUSE) {
    return {Fault::refused, EADDRINUSE,
            "cannot listen on " + where + ": the port is in use; stop what uses it, or choose another with --listen"};
  }
  return std::move(error).in("cannot listen on " + where);
}

}  // namespace

struct RunningServer::State {
  explicit State(ServerFolder folder_in, RunLock lock_in) : folder(std::move(folder_in)), lock(std::move(lock_in)) {}

  ServerFolder folder;
  bool recheck_is_due = false;  // Of the thread that looks at the accounts.
  RunLock lock;
  Address address;
  std::optional<tls::Authority> authority;
  std::optional<crypto::SigningKey> receipt_key;
  std::unique_ptr<accounts::Accounts> accounts;
  std::optional<accounts::ChangeWatch> watch;
  std::optional<store::WriterPool> writers;
  std::optional<service::VaultSet> vaults;
  std::optional<service::Service> service;
  std::optional<boost::asio::io_context> io;
  std::optional<boost::asio::executor_work_guard<boost::asio::io_context::executor_type>> work;
  std::optional<rpc::Server> server;
  std::vector<std::thread> threads;
  std::optional<scrub::Scrubber> scrubber;

  Result<void> open() {
    COFFER_TRY(authority, folder.load_authority());
    COFFER_TRY(receipt_key, named(folder.load_receipt_key(), folder.receipt_key()));
    COFFER_TRY(accounts, named(accounts::Accounts::open(folder.accounts(), os::real_clock(), os::real_random()),
                               folder.accounts()));
    COFFER_TRY(watch, accounts::ChangeWatch::open(folder.accounts()));
    COFFER_DO(os::real_disk().make_folder(folder.vaults()));
    writers.emplace(kWriterThreads);
    vaults.emplace(folder.vaults(), os::real_disk(), *receipt_key, os::real_clock(), *writers);
    const service::Parts parts{.accounts = *accounts,
                               .vaults = *vaults,
                               .authority = *authority,
                               .receipt_key = *receipt_key,
                               .clock = os::real_clock(),
                               .random = os::real_random()};
    service.emplace(parts, service::ServiceOptions{});
    return {};
  }

  Result<void> listen(const Address& listen, const Configuration& configuration) {
    std::vector<std::string> names = configuration.hosts;
    if (!listen.host.empty() && !names_host(names, listen.host)) names.push_back(listen.host);
    COFFER_DO(ensure_server_certificate(folder, *authority, names));
    io.emplace(static_cast<int>(io_thread_count()));
    work.emplace(io->get_executor());
    rpc::ServerOptions options;
    options.host = listen.host;
    options.port = listen.port;
    options.files = folder.tls_files();
    options.requests_in_flight_max = service->options().window_requests;
    options.bytes_in_flight_max = service->options().window_bytes;
    server.emplace(*io, options, *service);
    for (unsigned i = 0; i < io_thread_count(); ++i) threads.emplace_back([this] { run_io(*io); });
    auto port = server->listen();
    if (!port) {
      server.reset();
      return listen_error(std::move(port).error(), listen);
    }
    address = {.host = listen.host.empty() ? configuration.hosts.front() : listen.host, .port = *port};
    return write_text(folder.listen(), format_address(address) + "\n");
  }

  std::vector<scrub::Target> scrub_targets() {
    std::vector<scrub::Target> targets;
    const auto known = accounts->vaults();
    if (!known) log::error("accounts unreadable", {{"what", known.error().what}});
    if (!known) return targets;
    for (const accounts::Vault& vault : *known) {
      const auto open = vaults->open(vault.id);
      if (!open) {
        log::error("vault damaged", {{"vault", vault.name}, {"what", open.error().what}});
        continue;
      }
      targets.push_back({.keep = *open,
                         .name = vault.id.hex(),
                         .folder = folder.vault(vault.id),
                         .chunks = *(*open)->chunks,
                         .log = *(*open)->log,
                         .health = (*open)->health,
                         .examine = [open = *open](const object::ChunkId& id) { return open->examine(id); }});
    }
    return targets;
  }

  void start_scrub(const Configuration& configuration) {
    scrub::ScrubOptions options;
    options.bytes_per_second = configuration.scrub_mib_per_second << 20;
    options.every = std::chrono::days(configuration.scrub_days);
    scrubber.emplace([this] { return scrub_targets(); }, os::real_disk(), os::real_clock(), options);
    scrubber->start();
  }

  void stop() {
    if (scrubber) scrubber->stop();
    if (service) service->stop();
    if (server) server->stop();
    work.reset();
    if (io) io->stop();
    for (std::thread& thread : threads) thread.join();
    threads.clear();
    if (vaults) vaults->close();
    if (server)
      (void)os::real_disk().remove(folder.listen());  // A stale one is harmless: it is believed under the lock only.
    server.reset();
  }
};

RunningServer::RunningServer(std::unique_ptr<State> state) : state_(std::move(state)) {}
RunningServer::~RunningServer() { stop(); }

Result<std::unique_ptr<RunningServer>> RunningServer::start(const ServerFolder& folder, const Address& listen) {
  COFFER_TRY(const Configuration configuration, read_configuration(folder.configuration()));
  COFFER_TRY(RunLock lock, RunLock::take(folder));
  std::unique_ptr<RunningServer> running(new RunningServer(std::make_unique<State>(folder, std::move(lock))));
  COFFER_DO(running->state_->open());
  COFFER_DO(running->state_->listen(listen, configuration));
  running->state_->start_scrub(configuration);
  return running;
}

const Address& RunningServer::address() const { return state_->address; }

void RunningServer::look_at_accounts() {
  const auto changed = state_->watch->changed();
  if (!changed) return log::error("accounts unreadable", {{"what", changed.error().what}});
  // A change that could not be looked at in full is looked at again, or a revocation would be lost.
  if (*changed || state_->recheck_is_due) state_->recheck_is_due = !state_->service->recheck();
  state_->service->end_expired();
}

void RunningServer::stop() { state_->stop(); }

}  // namespace coffer::admin
