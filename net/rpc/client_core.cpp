#include "net/rpc/client_core.h"

#include <algorithm>
#include <boost/asio/post.hpp>
#include <cerrno>
#include <span>

#include "common/base/check.h"
#include "common/base/log.h"
#include "net/rpc/backoff.h"
#include "net/rpc/decode.h"
#include "net/wire/message.h"

namespace coffer::rpc {

namespace asio = boost::asio;
using asio::awaitable;
using std::chrono::steady_clock;

namespace {

/// Between attempts at a request that the server was too busy for, or whose disk failed: PROTOCOL.md asks for as much.
constexpr auto kBusyPauseMin = std::chrono::milliseconds(250);
constexpr auto kBusyPauseMax = std::chrono::milliseconds(4000);
/// A server that names ever other offsets does not mean to take the chunk.
constexpr unsigned kWrongOffsetsMax = 8;
/// In flight on a bulk connection while there are others that could be opened: the rest waits for those.
constexpr std::size_t kBusyRequests = 4;
/// In flight on the control connection while there is no other: what goes at once need not wait until one is dialled,
/// and what comes behind it waits for so much at most.
constexpr std::size_t kFirstBytesMax = 2u << 20;

Error stopped() { return Error{Fault::stopped, 0, "the client has stopped"}; }

}  // namespace

ClientCore::ClientCore(ClientOptions options, os::Random& random)
    : options_(std::move(options)),
      random_(random),
      work_(io_.get_executor()),
      tasks_(executor()),
      deadline_(executor()) {
  using Use = ClientConnection::Use;
  connections_.push_back(std::make_unique<ClientConnection>(*this, Use::control));
  for (unsigned i = 1; i < options_.connections; ++i) {
    connections_.push_back(std::make_unique<ClientConnection>(*this, Use::bulk));
  }
}

ClientCore::~ClientCore() { stop(); }

void ClientCore::start() {
  COFFER_CHECK(!thread_.joinable());
  asio::post(io_, [this] {
    for (const auto& connection : connections_) tasks_.start(connection->run());
    tasks_.start(watch_deadlines());
  });
  thread_ = std::thread([this] { io_.run(); });
}

void ClientCore::stop() {
  {
    const MutexLock lock(mutex_);
    is_stopped_ = true;
    link_change_.notify_all();
  }
  if (thread_.joinable()) {
    COFFER_CHECK(std::this_thread::get_id() != thread_.get_id());
    asio::post(io_, [this] {
      asio::co_spawn(io_, shut_down(), [this](std::exception_ptr exception) {
        if (exception) log_exception(std::move(exception));
        work_.reset();
      });
    });
    thread_.join();
  }
  is_stopping_ = true;  // Where the thread never ran.
  take_incoming();
  fail_waiting(stopped());
}

awaitable<void> ClientCore::shut_down() {
  is_stopping_ = true;
  take_incoming();
  deadline_.notify();
  for (const auto& connection : connections_) connection->break_off(false);
  co_await tasks_.join();
  fail_waiting(stopped());
}

void ClientCore::submit(Call call) {
  {
    const MutexLock lock(mutex_);
    if (!is_stopped_) {
      incoming_.push_back(std::make_shared<Call>(std::move(call)));
      if (!std::exchange(is_incoming_posted_, true)) asio::post(io_, [this] { take_incoming(); });
      return;
    }
  }
  call.done(stopped());
}

void ClientCore::take_incoming() {
  std::deque<CallPtr> calls;
  {
    const MutexLock lock(mutex_);
    calls.swap(incoming_);
    is_incoming_posted_ = false;
  }
  for (CallPtr& call : calls) {
    call->number = next_number();
    enqueue(std::move(call));
  }
  pump();
}

void ClientCore::enqueue(CallPtr call) {
  if (link() == Link::refused) {
    complete(call, Error{Fault::refused, 0, why()});
    return;
  }
  const bool is_first = deadlines_.empty() || call->deadline < deadlines_.begin()->first;
  deadlines_.emplace(call->deadline, call);
  if (is_first) deadline_.notify();
  auto& queue = call->is_bulk ? bulk_ : control_;
  queue.push_back(std::move(call));
}

void ClientCore::give_back(std::vector<CallPtr> calls) {
  for (auto call = calls.rbegin(); call != calls.rend(); ++call) {
    if (!(*call)->done) continue;  // A ping of the connection's own, or past its deadline.
    (*call)->is_unsure = (*call)->type == wire::Type::put_chunk && (*call)->was_begun;
    auto& queue = (*call)->is_unsure ? unsure_ : (*call)->is_bulk ? bulk_ : control_;
    queue.push_front(std::move(*call));
  }
  if (is_stopping_) fail_waiting(stopped());
  if (link() == Link::refused) fail_waiting(Error{Fault::refused, 0, why()});
}

void ClientCore::fail_waiting(const Error& error) {
  std::deque<CallPtr> calls;
  calls.swap(control_);
  calls.insert(calls.end(), unsure_.begin(), unsure_.end());
  calls.insert(calls.end(), bulk_.begin(), bulk_.end());
  unsure_.clear();
  bulk_.clear();
  for (const CallPtr& call : calls) complete(call, error);
}

void ClientCore::complete(const CallPtr& call, Result<Answer> answer) {
  if (!call->done) return;
  const bool is_offline = !answer && answer.error().fault == Fault::offline;
  // A reader who waits anyway may wait for the server's disk, too.
  const bool is_busy = is_offline && (answer.error().code == EAGAIN ||
                                      (answer.error().code == EIO && call->type == wire::Type::get_chunk));
  if (is_busy && !is_stopping_ && steady_clock::now() + kBusyPauseMin < call->deadline) {
    tasks_.start(retry_later(call));
    return;
  }
  deadlines_.erase({call->deadline, call});
  const auto done = std::exchange(call->done, nullptr);
  done(std::move(answer));
}

awaitable<void> ClientCore::retry_later(CallPtr call) {
  const auto longest = std::min(kBusyPauseMin * (2u << std::min(call->busy_count++, 8u)), kBusyPauseMax);
  Backoff backoff(longest, longest, random_);  // At least half of it.
  const auto until = steady_clock::now() + backoff.next();
  Event pause(executor());
  co_await pause.wait(until);
  std::vector<CallPtr> calls{std::move(call)};
  give_back(std::move(calls));
  pump();
}

awaitable<void> ClientCore::watch_deadlines() {
  while (!is_stopping_) {
    const auto now = steady_clock::now();
    if (!deadlines_.empty() && deadlines_.begin()->first <= now) {
      const CallPtr call = deadlines_.begin()->second;
      std::erase(call->is_unsure ? unsure_ : call->is_bulk ? bulk_ : control_, call);
      const std::string reason = link() == Link::online ? "no answer from the server in time" : why();
      complete(call, Error{Fault::offline, 0, reason});
      continue;
    }
    co_await deadline_.wait(deadlines_.empty() ? Deadline::max() : deadlines_.begin()->first);
  }
}

void ClientCore::pump() {
  if (is_stopping_) return;
  ClientConnection& control = *connections_.front();
  if (!unsure_.empty() && control.is_online()) ask_about_unsure();
  while (!control_.empty() && control.has_room_for(*control_.front())) {
    CallPtr call = std::move(control_.front());
    control_.pop_front();
    control.take(std::move(call));
  }
  while (!bulk_.empty()) {
    ClientConnection* connection = least_loaded(*bulk_.front());
    if (connection == nullptr) break;
    CallPtr call = std::move(bulk_.front());
    bulk_.pop_front();
    connection->take(std::move(call));
  }
  if (control.is_online()) open_another();
}

ClientConnection* ClientCore::least_loaded(const Call& call) {
  const auto bulk = std::span(connections_).subspan(1);
  const bool is_any_online = std::ranges::any_of(bulk, [](const auto& one) { return one->is_online(); });
  const bool has_any_failed = std::ranges::any_of(bulk, [](const auto& one) { return one->has_failed(); });
  const bool are_all_online = std::ranges::all_of(bulk, [](const auto& one) { return one->is_online(); });
  ClientConnection* control = connections_.front().get();
  if (!is_any_online) {
    const bool takes_little =
        control->in_flight_count() < kBusyRequests && control->in_flight_bytes() + call.cost_bytes() <= kFirstBytesMax;
    // A server that lets nobody have a second connection still gets its chunks.
    const bool takes_it = bulk.empty() || has_any_failed || takes_little;
    return takes_it && control->has_room_for(call) ? control : nullptr;
  }

  const std::size_t requests_max = are_all_online || has_any_failed ? SIZE_MAX : kBusyRequests;
  ClientConnection* best = nullptr;
  for (const auto& one : bulk) {
    if (!one->has_room_for(call) || one->in_flight_count() >= requests_max) continue;
    if (best == nullptr || one->in_flight_bytes() < best->in_flight_bytes()) best = one.get();
  }
  return best;
}

void ClientCore::open_another() {
  if (bulk_.empty()) return;
  for (const auto& one : std::span(connections_).subspan(1)) {
    if (one->is_dialling()) return;
    if (one->is_online()) continue;
    one->want();
    return;
  }
}

/// One question for all chunks whose connections broke: what the server has of them is not sent again.
void ClientCore::ask_about_unsure() {
  const std::size_t count = std::min(unsure_.size(), limits::kIdsPerMessageMax);
  const auto end = unsure_.begin() + static_cast<std::ptrdiff_t>(count);
  const std::vector<CallPtr> asked(unsure_.begin(), end);
  unsure_.erase(unsure_.begin(), end);
  wire::Have message;
  for (const CallPtr& call : asked) {
    const auto put = wire::parse<wire::PutChunk>(as_bytes(call->header));
    message.mutable_ids()->append(put.value().id());
  }
  auto have = std::make_shared<Call>();
  have->type = wire::Type::have;
  have->header = message.SerializeAsString();
  have->deadline = steady_clock::now() + limits::kRequestDeadline;
  have->done = [this, asked](const Result<Answer>& answer) { learnt(asked, answer); };
  have->number = next_number();
  enqueue(std::move(have));
}

void ClientCore::learnt(const std::vector<CallPtr>& asked, const Result<Answer>& answer) {
  Result<std::vector<HaveState>> states = Error{Fault::stopped, 0, ""};
  if (answer) {
    states = decode_have(*answer, asked.size());
  } else {
    states = answer.error();
  }
  if (!states) {
    const Error& error = states.error();
    const bool is_final = is_stopping_ || error.fault == Fault::refused || error.fault == Fault::stopped;
    for (const CallPtr& call : asked) {
      if (is_final) {
        complete(call, error);
      } else if (call->done) {
        tasks_.start(retry_later(call));
      }
    }
    return;
  }
  wire::PutChunkDone done;
  done.set_was_stored(true);
  for (std::size_t index = asked.size(); index-- > 0;) {
    const CallPtr& call = asked[index];
    const HaveState& state = (*states)[index];
    call->is_unsure = false;
    if (!call->done) continue;
    if (state.stored) {
      Answer stored;
      stored.header = copy_of(as_bytes(done.SerializeAsString()));
      complete(call, std::move(stored));
      continue;
    }
    call->go_on_at(state.received <= call->body->size() ? state.received : 0);
    bulk_.push_front(call);
  }
  pump();
}

void ClientCore::go_on_elsewhere(const CallPtr& call, std::uint64_t offset) {
  if (++call->wrong_offsets > kWrongOffsetsMax) {
    complete(call, Error{Fault::protocol, 0, "the server does not say where the chunk goes on"});
    return;
  }
  call->go_on_at(offset <= call->body->size() ? offset : 0);
  if (call->done) bulk_.push_front(call);
}

void ClientCore::count_chunk(Call& call, std::uint64_t from, std::uint64_t until) {
  call.was_begun = true;
  chunk_bytes_sent_ += until - from;
  if (from < call.handed_bytes) chunk_bytes_sent_again_ += std::min(until, call.handed_bytes) - from;
  call.handed_bytes = std::max(call.handed_bytes, until);
}

void ClientCore::count(std::uint64_t sent, std::uint64_t received) {
  bytes_sent_ += sent;
  bytes_received_ += received;
}

void ClientCore::control_is_online(ServerFacts facts) {
  {
    const MutexLock lock(mutex_);
    carried_bytes_max_ = facts.carried_bytes_max;
    facts_ = std::move(facts);
  }
  set_link(Link::online, "");
}

void ClientCore::control_has_ended(const Error& why) {
  if (is_stopping_) return;
  set_link(why.fault == Fault::refused ? Link::refused : Link::offline, why.what);
  if (why.fault == Fault::refused) fail_waiting(why);
}

void ClientCore::set_link(Link link, std::string why) {
  bool is_change = false;
  {
    const MutexLock lock(mutex_);
    is_change = link_ != link;
    link_ = link;
    why_ = std::move(why);
    link_change_.notify_all();
  }
  if (is_change && link_changed_) link_changed_(link);
}

void ClientCore::reload_identity() {
  asio::post(io_, [this] {
    for (const auto& connection : connections_) connection->break_off(true);
  });
}

void ClientCore::somebody_waits(bool begins) {
  if (!begins) {
    --waiting_;
  } else if (waiting_++ == 0 && pauses_ > 0) {
    asio::post(io_, [this] {
      for (const auto& connection : connections_) connection->look_again();
    });
  }
}

Link ClientCore::link() const {
  const MutexLock lock(mutex_);
  return link_;
}

std::string ClientCore::why() const {
  const MutexLock lock(mutex_);
  return why_;
}

std::optional<ServerFacts> ClientCore::facts() const {
  const MutexLock lock(mutex_);
  return facts_;
}

Result<void> ClientCore::wait_online(Deadline deadline) {
  const MutexLock lock(mutex_);
  while (link_ != Link::online) {
    if (is_stopped_) return stopped();
    if (link_ == Link::refused) return Error{Fault::refused, 0, why_};
    if (steady_clock::now() >= deadline) return Error{Fault::offline, 0, why_};
    link_change_.wait_until(mutex_, deadline);
  }
  return {};
}

}  // namespace coffer::rpc
