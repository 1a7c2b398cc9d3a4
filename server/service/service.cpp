#include "server/service/service.h"

#include <cerrno>

#include "server/service/requests.h"

namespace coffer::service {

namespace asio = boost::asio;

Service::Service(Parts parts, const ServiceOptions& options)
    : parts_(parts),
      options_(options),
      partials_(std::make_shared<store::PartialChunks>(parts.clock, options.partials)),
      disk_(options.disk_thread_count) {}

Service::~Service() = default;

std::shared_ptr<rpc::Body> Service::body_of(const std::shared_ptr<rpc::Session>& session, const rpc::Request& request,
                                            std::size_t body_bytes) {
  rpc::Request header_only;
  header_only.type = request.type;
  header_only.header = request.header;
  const Call call{*this, session, connection_of(session), std::move(header_only)};
  return body_of_put_chunk(call, body_bytes);
}

asio::awaitable<Result<rpc::Reply>> Service::handle(std::shared_ptr<rpc::Session> session, rpc::Request request) {
  auto connection = connection_of(session);
  const wire::Type type = request.type;
  Call call{*this, std::move(session), std::move(connection), std::move(request)};
  switch (type) {
    case wire::Type::hello: return hello(std::move(call));
    case wire::Type::have: return have(std::move(call));
    case wire::Type::put_chunk: return put_chunk(std::move(call));
    case wire::Type::get_chunk: return get_chunk(std::move(call));
    case wire::Type::verify_chunks: return verify_chunks(std::move(call));
    case wire::Type::append_commit: return append_commit(std::move(call));
    case wire::Type::get_commits: return get_commits(std::move(call));
    case wire::Type::acquire_lease: return acquire_lease(std::move(call));
    case wire::Type::renew_lease: return renew_lease(std::move(call));
    case wire::Type::release_lease: return release_lease(std::move(call));
    case wire::Type::get_key_slots: return get_key_slots(std::move(call));
    case wire::Type::put_key_slot: return put_key_slot(std::move(call));
    case wire::Type::remove_key_slot: return remove_key_slot(std::move(call));
    case wire::Type::ping: return ping(std::move(call));
    case wire::Type::enroll: return enroll(std::move(call));
    case wire::Type::renew_certificate: return renew_certificate(std::move(call));
    case wire::Type::error: break;
  }
  return unknown(std::move(call));
}

std::shared_ptr<Connection> Service::connection_of(const std::shared_ptr<rpc::Session>& session) {
  if (session->context == nullptr) {
    auto made = std::make_shared<Connection>(session);
    session->context = made;
    const MutexLock lock(mutex_);
    connections_.emplace(session->number(), made);
  }
  return std::static_pointer_cast<Connection>(session->context);
}

void Service::closed(rpc::Session& session) {
  std::shared_ptr<Connection> connection;
  {
    const MutexLock lock(mutex_);
    const auto found = connections_.find(session.number());
    if (found == connections_.end()) return;
    connection = std::move(found->second);
    connections_.erase(found);
  }
  connection->close();
  // Others of the vault that wake with it look, and wait again.
  if (const auto vault = connection->vault()) {
    vault->appended.happened();
    vault->room.happened();
  }
}

Result<void> Service::begin(Connection& connection, Access access, std::shared_ptr<OpenVault> vault) {
  const MutexLock lock(
      mutex_);  // Counted and marked in one step: hellos that come at once are no way around the limit.
  std::size_t count = 0;
  for (const auto& [number, other] : connections_) {
    if (other->has_begun() && other->access().client.id == access.client.id) ++count;
  }
  if (count >= options_.connections_per_client_max) {
    return Error{Fault::offline, EAGAIN, "the client has too many connections"};
  }
  connection.begin(std::move(access), std::move(vault));
  return {};
}

std::vector<std::shared_ptr<Connection>> Service::connections() const {
  const MutexLock lock(mutex_);
  std::vector<std::shared_ptr<Connection>> all;
  for (const auto& [number, connection] : connections_) all.push_back(connection);
  return all;
}

bool Service::recheck() {
  bool all_decided = true;
  for (const auto& connection : connections()) all_decided = recheck(*connection) && all_decided;
  return all_decided;
}

void Service::end_expired() {
  partials_->expire();
  const os::WallTime now = parts_.clock.now();
  for (const auto& connection : connections()) {
    const auto session = connection->session();
    if (session == nullptr || !session->peer() || session->peer()->not_after > now) continue;
    session->close("the client's certificate has expired");
  }
}

bool Service::recheck(Connection& connection) {
  const auto session = connection.session();
  if (session == nullptr || !session->peer()) return true;
  const rpc::PeerIdentity& peer = *session->peer();
  auto client = parts_.accounts.admit(peer.fingerprint, peer.client);
  if (!client) {
    const bool is_decided = client.error().fault == Fault::refused;
    if (is_decided) session->close(std::move(client).error());
    return is_decided;
  }
  if (!connection.has_begun()) return true;
  std::optional<object::VaultId> vault;
  if (const auto& grant = connection.access().grant) vault = grant->vault.id;
  auto access = access_to(*std::move(client), vault);
  if (access) {
    connection.set_access(*std::move(access));
  } else {
    session->close(std::move(access).error());
  }
  return true;
}

void Service::stop() {
  stopping_ = true;
  parts_.vaults.wake_all();
}

}  // namespace coffer::service
