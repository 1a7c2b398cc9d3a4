#include "net/rpc/client_connection.h"

#include <linux/sockios.h>
#include <sys/ioctl.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "common/base/limits.h"
#include "common/base/log.h"
#include "net/rpc/client_core.h"
#include "net/rpc/decode.h"
#include "net/wire/message.h"

namespace coffer::rpc {

using boost::asio::awaitable;
using std::chrono::steady_clock;
using wire::Type;

namespace {

/// A connection that held for this long has worked, as has one that brought an answer: the next attempt comes soon.
constexpr auto kWorkedTime = std::chrono::seconds(2);
/// A bulk connection without work ends.
constexpr auto kUnusedTime = std::chrono::seconds(30);
/// Kept free of the server's window, so that a ping is always read.
constexpr std::uint64_t kSpareRequests = 2;

/// Bytes in the kernel that the peer has not acknowledged.
int unacknowledged_bytes(tls::Stream& stream) {
  int bytes = 0;
  return ioctl(stream.socket().native_handle(), SIOCOUTQ, &bytes) == 0 ? bytes : 0;
}

}  // namespace

ClientConnection::ClientConnection(ClientCore& core, Use use)
    : core_(core),
      use_(use),
      wake_(core.executor()),
      keep_alive_(core.executor()),
      backoff_(core.options().retry_min, core.options().retry_max, core.random()),
      tasks_(core.executor()),
      is_wanted_(use == Use::control) {}

awaitable<void> ClientConnection::run() {
  while (!core_.is_stopping()) {
    if (!is_wanted_) {
      co_await wake_.wait();
      continue;
    }
    dials_again_ = false;
    const auto begun = steady_clock::now();
    const Error why = co_await attempt();
    has_failed_ = !is_online_;
    if (is_online_ && (has_answered_ || steady_clock::now() - online_since_ >= kWorkedTime)) backoff_.reset();
    is_online_ = false;
    is_wanted_ = use_ == Use::control;
    if (use_ == Use::control) core_.control_has_ended(why);
    core_.give_back(take_unanswered());
    core_.pump();
    if (dials_again_ || core_.is_stopping()) continue;
    const bool is_refused = why.fault == Fault::refused;
    const auto until = steady_clock::now() + (is_refused ? core_.options().retry_max : backoff_.next());
    co_await pause(until, is_refused ? until : std::min(until, begun + core_.options().waited_retry));
  }
}

/// Both end the pause; the second one only while somebody waits.
awaitable<void> ClientConnection::pause(Event::Time until, Event::Time until_if_waited_for) {
  core_.pauses(true);
  while (!core_.is_stopping() && !dials_again_) {
    const auto end = core_.is_waited_for() ? until_if_waited_for : until;
    if (steady_clock::now() >= end) break;
    co_await wake_.wait(end);
  }
  core_.pauses(false);
}

awaitable<Error> ClientConnection::attempt() {
  dialer_ = std::make_shared<Dialer>(core_.executor());
  is_attempt_over_ = false;
  Error why = co_await dial_and_serve();
  is_attempt_over_ = true;
  dialer_->abort();
  keep_alive_.notify();
  if (channel_) channel_->finish();
  co_await tasks_.join();
  if (channel_) count_bytes();
  channel_.reset();
  dialer_.reset();
  co_return why;
}

awaitable<Error> ClientConnection::dial_and_serve() {
  const ClientOptions& options = core_.options();
  Result<tls::Context> context = tls::Context::for_client(options.identity);
  // Without a usable certificate of our own we are as good as refused; a later attempt reads the files again.
  if (!context) co_return Error{Fault::refused, 0, context.error().what};
  const auto deadline = steady_clock::now() + limits::kHandshakeDeadline;
  const Result<void> dialled = co_await dialer_->dial(options.server.host, options.server.port, *context, deadline);
  if (!dialled) co_return dialled.error();
  counted_sent_ = counted_received_ = 0;
  channel_ = std::make_unique<Channel>(dialer_->stream());
  tasks_.start(channel_->write_all());
  const Result<void> greeted = co_await greet();
  if (!greeted) co_return greeted.error();
  dialer_->in_time();
  is_online_ = true;
  has_answered_ = false;
  online_since_ = last_call_ = steady_clock::now();
  tasks_.start(keep_alive());
  core_.pump();
  co_return co_await receive_answers();
}

awaitable<Result<void>> ClientConnection::greet() {
  const ClientOptions& options = core_.options();
  wire::Hello hello;
  hello.set_version_min(wire::kVersion);
  hello.set_version_max(wire::kVersion);
  if (options.vault != object::VaultId()) hello.set_vault(std::string(as_text(options.vault.bytes())));
  hello.set_program(options.program);
  OutFrame frame;
  frame.type = Type::hello;
  frame.request = core_.next_number();
  frame.header = hello.SerializeAsString();
  channel_->send(std::move(frame));
  COFFER_CO_TRY(const wire::Head head, co_await channel_->receive_head());
  COFFER_CO_TRY(const Bytes header, co_await channel_->receive(head.header_bytes));
  if (head.type == Type::error) {
    COFFER_CO_TRY(const wire::Error error, wire::parse<wire::Error>(header));
    co_return wire::from_wire(error);
  }
  if (head.type != wire::answer_to(Type::hello)) co_return Error{Fault::protocol, 0, "not the answer to hello"};
  COFFER_CO_TRY(const wire::HelloDone done, wire::parse<wire::HelloDone>(header));
  COFFER_CO_TRY(ServerFacts facts, decode(done));
  window_requests_ = done.window_requests();
  window_bytes_ = done.window_bytes();
  if (use_ == Use::control) core_.control_is_online(std::move(facts));
  co_return Result<void>();
}

bool ClientConnection::has_room_for(const Call& call) const {
  if (!is_online_) return false;
  if (in_flight_.empty()) return true;
  return in_flight_.size() + kSpareRequests < window_requests_ && in_flight_bytes_ + call.cost_bytes() <= window_bytes_;
}

void ClientConnection::take(CallPtr call) {
  in_flight_bytes_ += call->cost_bytes();
  last_call_ = steady_clock::now();
  send(call);
  in_flight_.emplace(call->number, std::move(call));
}

void ClientConnection::send(const CallPtr& call) {
  OutFrame frame;
  frame.type = call->type;
  frame.request = call->number;
  frame.header = call->header;
  frame.body = call->body;
  frame.body_offset = call->body_offset;
  if (call->type == Type::put_chunk) {
    frame.going = [this, call, from = call->body_offset](std::size_t until) mutable {
      core_.count_chunk(*call, std::exchange(from, until), until);
    };
  }
  frame.sent = [this] { count_bytes(); };
  channel_->send(std::move(frame));
}

CallPtr ClientConnection::remove(std::uint64_t number) {
  const auto found = in_flight_.find(number);
  if (found == in_flight_.end()) return nullptr;
  CallPtr call = std::move(found->second);
  in_flight_.erase(found);
  in_flight_bytes_ -= call->cost_bytes();
  return call;
}

std::vector<CallPtr> ClientConnection::take_unanswered() {
  std::vector<CallPtr> calls;
  for (auto& [number, call] : in_flight_) calls.push_back(std::move(call));
  in_flight_.clear();
  in_flight_bytes_ = 0;
  std::ranges::sort(calls, {}, [](const CallPtr& call) { return call->number; });
  return calls;
}

awaitable<Error> ClientConnection::receive_answers() {
  for (;;) {
    const Result<wire::Head> head = co_await channel_->receive_head();
    if (!head) co_return head.error();
    CallPtr call = remove(head->request);
    const Result<void> received = co_await receive_answer(*head, std::move(call));
    if (!received) co_return received.error();
    has_answered_ = true;
    last_call_ = steady_clock::now();
    core_.pump();
  }
}

awaitable<Result<void>> ClientConnection::receive_answer(wire::Head head, CallPtr call) {
  if (head.type == Type::error) {
    COFFER_CO_TRY(const Bytes header, co_await channel_->receive(head.header_bytes));
    COFFER_CO_TRY(const wire::Error error, wire::parse<wire::Error>(header));
    if (!call) co_return wire::from_wire(error);  // About the connection as a whole.
    if (call->type == Type::put_chunk && error.reason() == wire::Error::REFUSED && error.code() == ESPIPE) {
      core_.go_on_elsewhere(call, error.good_until());
    } else {
      core_.complete(call, wire::from_wire(error));
    }
    co_return Result<void>();
  }
  if (call && head.type != wire::answer_to(call->type)) {
    core_.give_back({call});
    co_return Error{Fault::protocol, 0, "an answer of another type than its request"};
  }
  if (!call || !call->done) co_return co_await channel_->skip(std::size_t{head.header_bytes} + head.body_bytes);

  Answer answer;
  Result<Bytes> header = co_await channel_->receive(head.header_bytes);
  Result<Bytes> body = Bytes();
  if (header && call->type == Type::get_chunk && call->header_at) {
    body = co_await receive_chunk(head.body_bytes, call);
    if (body) answer.body_digest = call->got.hash.finish();
  } else if (header) {
    body = co_await channel_->receive(head.body_bytes);
  }
  if (!header || !body) {
    core_.give_back({call});  // The connection broke in the middle of the answer.
    co_return header ? std::move(body).error() : std::move(header).error();
  }
  answer.header = *std::move(header);
  answer.body = *std::move(body);
  count_bytes();
  core_.complete(call, std::move(answer));
  co_return Result<void>();
}

/// The rest of a chunk, hashed as it comes. What a broken connection leaves of it is kept, and the call goes on there.
awaitable<Result<Bytes>> ClientConnection::receive_chunk(std::size_t bytes, CallPtr call) {
  Got& got = call->got;
  std::size_t at = got.bytes.size();
  if (bytes > limits::kWireBodyBytesMax - std::min(at, limits::kWireBodyBytesMax)) {
    co_return Error{Fault::protocol, 0, "a chunk of an impossible length"};
  }
  got.bytes.resize(at + bytes);
  std::function<MutableByteView()> next = [&got, &at] { return MutableByteView(got.bytes).subspan(at); };
  std::function<void(std::size_t)> came = [&got, &at](std::size_t count) {
    got.hash.update(ByteView(got.bytes).subspan(at, count));
    at += count;
  };
  const Result<void> received = co_await channel_->receive_into(bytes, std::move(next), std::move(came));
  if (received) co_return std::move(got.bytes);
  got.bytes.resize(at);
  call->go_on_at(at);
  co_return received.error();
}

/// Asks a silent peer, and gives it up. Bytes that the kernel still gets rid of are a sign of life too: a chunk may
/// take long on a slow link.
awaitable<void> ClientConnection::keep_alive() {
  const Keepalive& times = core_.options().keepalive;
  const auto step = std::max(std::min(times.idle, times.lost) / 4, std::chrono::milliseconds(1));
  tls::Stream& stream = dialer_->stream();
  std::uint64_t received_bytes = stream.bytes_received();
  auto received = steady_clock::now();
  auto progress = received;
  int queued_bytes = 0;
  bool is_asked = false;
  bool is_asked_there = false;
  while (!is_attempt_over_) {
    co_await keep_alive_.wait(steady_clock::now() + step);
    if (is_attempt_over_ || !stream.is_open()) break;
    const auto now = steady_clock::now();
    const int queued_bytes_now = unacknowledged_bytes(stream);
    if (stream.bytes_received() != received_bytes) {
      received_bytes = stream.bytes_received();
      received = now;
      is_asked = false;
    }
    // A peer that is stopped has a kernel that takes bytes all the same: once it has the question, only an answer
    // counts.
    is_asked_there = is_asked && (is_asked_there || queued_bytes_now == 0);
    if (!is_asked_there && queued_bytes_now != queued_bytes) progress = now;
    if (!is_asked_there) progress = std::max(progress, stream.last_progress());
    progress = std::max(progress, received);
    queued_bytes = queued_bytes_now;
    if (is_asked && now - progress >= times.lost) {
      log::warn("server silent", {{"seconds", std::chrono::duration<double>(now - received).count()}});
      break_off(false);
    } else if (use_ == Use::bulk && in_flight_.empty() && now - last_call_ >= kUnusedTime) {
      break_off(false);
    } else if (!is_asked && now - received >= times.idle) {
      is_asked = true;
      auto ping = std::make_shared<Call>();
      ping->type = Type::ping;
      ping->number = core_.next_number();
      send(ping);
      in_flight_bytes_ += ping->cost_bytes();
      in_flight_.emplace(ping->number, std::move(ping));
    }
  }
}

void ClientConnection::want() {
  is_wanted_ = true;
  wake_.notify();
}

void ClientConnection::break_off(bool again) {
  dials_again_ = again;
  if (dialer_) dialer_->abort();
  wake_.notify();
}

void ClientConnection::count_bytes() {
  const tls::Stream& stream = dialer_->stream();
  core_.count(stream.bytes_sent() - counted_sent_, stream.bytes_received() - counted_received_);
  counted_sent_ = stream.bytes_sent();
  counted_received_ = stream.bytes_received();
}

}  // namespace coffer::rpc
