#include "net/rpc/connection.h"

#include <algorithm>
#include <cerrno>
#include <exception>

#include "common/base/log.h"
#include "net/rpc/in_flight.h"
#include "net/tls/certificate.h"
#include "net/wire/message.h"

namespace coffer::rpc {

namespace asio = boost::asio;
using asio::awaitable;
using std::chrono::steady_clock;
using wire::Type;

namespace {

/// How long the peer may take to fetch our last words.
constexpr auto kClosingTime = std::chrono::milliseconds(500);
/// A first message (hello, or enroll with its signing request) before anybody is known.
constexpr std::size_t kGreetingBytesMax = 64u << 10;
/// A connection's own share of the memory: a header of so many bytes while it is read, one at a time, and as much of
/// small requests. What is larger stands in line for the rest.
constexpr std::uint64_t kSmallRequestBytes = 64u << 10;
constexpr std::uint64_t kShareBytes = 2 * kSmallRequestBytes;
/// What a stranger wrote into a certificate takes no more of a log line.
constexpr std::size_t kSubjectBytesMax = 200;

Result<PeerIdentity> identity_of(ByteView certificate_der) {
  COFFER_TRY(const tls::CertificateFacts facts, tls::read_certificate_der(certificate_der));
  PeerIdentity identity;
  identity.client = facts.client;
  identity.subject = facts.subject.substr(0, kSubjectBytesMax);
  identity.serial = facts.serial;
  identity.fingerprint = facts.fingerprint;
  identity.not_after = facts.not_after;
  return identity;
}

/// Whether a frame has more than its header, or its answer does. A long header would then be held while the rest stands
/// in line, by many who wait for each other.
bool brings_more_than_header(const wire::Head& head) {
  switch (head.type) {
    case Type::put_chunk:
    case Type::get_chunk:
    case Type::append_commit:
    case Type::get_commits: return true;
    default: return false;
  }
}

std::uint64_t common_bytes(const ServerOptions& options) {
  const std::uint64_t shares = options.sessions_max * kShareBytes;
  return options.memory_bytes_max > shares ? options.memory_bytes_max - shares : 0;
}

bool is_greeting(Type type) { return type == Type::hello || type == Type::enroll; }

}  // namespace

Common::Common(const ServerOptions& options) : memory(common_bytes(options)) {}

Connection::Connection(std::uint64_t number, std::string remote, asio::ip::tcp::socket socket, tls::Context tls_context,
                       const ServerOptions& options, Handler& handler, std::shared_ptr<Common> common)
    : Session(number, std::move(remote)),
      options_(options),
      handler_(handler),
      common_(std::move(common)),
      stream_(std::move(socket), std::move(tls_context), tls::Role::server),
      channel_(stream_),
      tasks_(executor()),
      room_(executor()),
      deadline_(executor()),
      started_(steady_clock::now()) {}

std::string Connection::who() const {
  if (!peer_) return "no certificate";
  return peer_->client ? peer_->subject + " " + tls::client_uri(*peer_->client) : peer_->subject;
}

void Connection::enter(Phase phase) {
  phase_ = phase;
  if (phase == Phase::open) has_greeted_ = true;
  if (phase == Phase::closing) closing_until_ = steady_clock::now() + kClosingTime;
  room_.notify();
  deadline_.notify();
}

awaitable<void> Connection::run() {
  const std::shared_ptr<Connection> self = shared_from_this();
  tasks_.start(watch_deadlines());
  try {
    co_await serve();
  } catch (const std::exception& exception) {  // Of a library, as when memory runs out: the tasks still hold `this`.
    log::error("session failed", {{"remote", remote_}, {"why", exception.what()}});
  }
  stream_.close();
  is_over_ = true;
  enter(Phase::closing);
  channel_.finish();
  if (has_handled_) handler_.closed(*this);
  co_await tasks_.join();
}

awaitable<void> Connection::serve() {
  Result<void> met = co_await shake_hands();
  if (!met) {
    if (stream_.is_open()) log_refusal(met.error());  // Else we closed it, and said why.
    enter(Phase::closing);
    co_await stream_.end();
    co_await discard_rest();
    co_return;
  }
  tasks_.start(channel_.write_all());
  const Result<void> received = co_await receive_requests();
  if (!received && received.error().fault != Fault::offline) end_with(0, received.error());
  if (phase_ == Phase::closing) co_await discard_rest();
}

void Connection::log_refusal(const Error& error) const {
  const tls::Verdict& verdict = stream_.verdict();
  common_->strangers.warn(
      "handshake refused",
      {{"remote", remote_}, {"subject", verdict.subject}, {"uri", verdict.uri}, {"why", error.what}});
}

awaitable<Result<void>> Connection::shake_hands() {
  COFFER_CO_DO(co_await stream_.handshake());
  if (const std::optional<Bytes> certificate = stream_.peer_certificate()) {
    COFFER_CO_TRY(PeerIdentity identity, identity_of(*certificate));
    peer_ = std::move(identity);
    client_ = std::string(as_text(peer_->fingerprint));
    if (peer_->client) client_ = std::string(as_text(peer_->client->bytes()));
  }
  is_known_ = true;
  enter(Phase::greeting);
  co_return Result<void>();
}

/// What comes after our last words is read and dropped: closing a socket with unread bytes would make the kernel send a
/// reset, and the peer might lose the words.
awaitable<void> Connection::discard_rest() {
  Bytes scrap(16u << 10);
  for (;;) {
    const auto [code, bytes] =
        co_await stream_.socket().async_read_some(asio::buffer(scrap.data(), scrap.size()), kTuple);
    if (code) co_return;
  }
}

Result<void> Connection::may_send(const wire::Head& head) const {
  if (head.type == Type::put_chunk && head.body_bytes > limits::kChunkSealedBytesMax) {
    return Error{Fault::protocol, 0, "chunk too long"};
  }
  if (head.header_bytes > kSmallRequestBytes && brings_more_than_header(head)) {
    return Error{Fault::protocol, 0, "header too long"};
  }
  if (!peer_ && head.type != Type::enroll) return Error{Fault::refused, EACCES, "a certificate is needed"};
  if (phase_ != Phase::greeting) {
    if (is_greeting(head.type)) return Error{Fault::protocol, 0, "a second first message"};
    return {};
  }
  if (!is_greeting(head.type)) return Error{Fault::protocol, 0, "the first message must be hello"};
  if (head.header_bytes > kGreetingBytesMax || head.body_bytes > 0) return Error{Fault::protocol, 0, "too long"};
  return {};
}

awaitable<Result<void>> Connection::receive_requests() {
  while (phase_ != Phase::closing) {
    COFFER_CO_TRY(const wire::Head head, co_await channel_.receive_head());
    if (phase_ == Phase::closing) break;
    if (const Result<void> allowed = may_send(head); !allowed) {
      end_with(head.request, allowed.error());
      break;
    }
    COFFER_CO_DO(co_await receive_request(head));
  }
  co_return Result<void>();
}

awaitable<void> Connection::wait_for_room(std::uint64_t bytes) {
  const auto is_full = [this, bytes] {
    if (phase_ == Phase::closing || requests_in_flight_ == 0) return false;
    return requests_in_flight_ >= options_.requests_in_flight_max ||
           bytes_in_flight_ + bytes > options_.bytes_in_flight_max;
  };
  while (is_full()) co_await room_.wait();
}

/// A small request takes of the connection's own share, so that pings and leases go on whatever others do; a larger one
/// stands in line for the memory of all. What is returned has no claim granted where the connection is closing.
awaitable<Connection::HeldPointer> Connection::take_memory(std::uint64_t bytes) {
  auto held = std::make_shared<Held>();
  held->bytes = bytes;
  if (bytes <= kSmallRequestBytes && small_bytes_ + bytes <= kSmallRequestBytes) {
    small_bytes_ += bytes;
  } else {
    const std::weak_ptr<Connection> weak = weak_from_this();
    std::function<void()> wake = [weak] {
      const std::shared_ptr<Connection> self = weak.lock();
      if (self) asio::post(self->executor(), [self] { self->room_.notify(); });
    };
    held->claim = common_->memory.claim(client_, bytes, std::move(wake));
    is_in_line_ = true;
    while (phase_ != Phase::closing && !held->claim->is_granted()) co_await room_.wait();
    is_in_line_ = false;
  }
  ++requests_in_flight_;
  bytes_in_flight_ += bytes;
  co_return held;
}

awaitable<Result<void>> Connection::receive_request(wire::Head head) {
  Request request;
  request.type = head.type;
  std::uint64_t reserved = std::uint64_t{head.header_bytes} + head.body_bytes;
  co_await wait_for_room(reserved);
  if (!is_request(head.type)) {
    COFFER_CO_DO(co_await channel_.skip(reserved));
    const Error unknown{Fault::answer, ENOSYS, "unknown type"};
    const HeldPointer nothing = co_await take_memory(0);
    send_error(head.request, unknown, [this, nothing] { release(*nothing); });
    co_return Result<void>();
  }
  HeldPointer held;
  if (head.header_bytes > kSmallRequestBytes) held = co_await take_memory(reserved);
  if (phase_ == Phase::closing) co_return Result<void>();
  begin_to_receive();
  COFFER_CO_TRY(request.header, co_await channel_.receive(head.header_bytes));
  receiving_.reset();
  if (!held) {
    if (const std::uint64_t more_bytes = further_bytes_max(head.type, request.header); more_bytes > 0) {
      reserved += more_bytes;
      co_await wait_for_room(reserved);
    }
    held = co_await take_memory(reserved);
    if (phase_ == Phase::closing) co_return Result<void>();
  }
  begin_to_receive();
  COFFER_CO_DO(co_await receive_body(request, head.body_bytes));
  receiving_.reset();
  if (phase_ == Phase::closing) co_return Result<void>();
  if (is_draining_) {
    const Error stopping{Fault::stopped, 0, "the server is stopping"};
    send_error(head.request, stopping, [this, held] { release(*held); });
    co_return Result<void>();
  }
  has_handled_ = true;
  const bool is_first = phase_ == Phase::greeting;
  awaitable<void> answering = answer(head.request, std::move(request), std::move(held));
  if (is_first) {
    co_await std::move(answering);
  } else {
    tasks_.start(std::move(answering));
  }
  co_return Result<void>();
}

awaitable<Result<void>> Connection::receive_body(Request& request, std::size_t bytes) {
  if (request.type == Type::put_chunk && phase_ == Phase::open) {
    const std::shared_ptr<Session> self = shared_from_this();
    request.body_sink = handler_.body_of(self, request, bytes);
  }
  if (request.body_sink) {
    Body* const sink = request.body_sink.get();
    std::function<MutableByteView()> next = [sink] { return sink->room(); };
    std::function<void(std::size_t)> came = [sink](std::size_t received) { sink->add(received); };
    co_return co_await channel_.receive_into(bytes, std::move(next), std::move(came));
  }
  if (bytes > 0) {
    COFFER_CO_TRY(request.body, co_await channel_.receive(bytes));
  }
  co_return Result<void>();
}

awaitable<void> Connection::answer(std::uint64_t request_number, Request request, HeldPointer held) {
  const Type type = request.type;
  Result<Reply> reply = Error{Fault::local_io, 0, "the request failed"};
  ++being_handled_;
  try {
    std::shared_ptr<Session> self = shared_from_this();
    reply = co_await handler_.handle(std::move(self), std::move(request));
  } catch (...) {
    log_exception(std::current_exception());
  }
  --being_handled_;
  const bool is_first = phase_ == Phase::greeting;
  if (!reply) {
    if (is_first || reply.error().fault == Fault::protocol) {
      end_with(request_number, reply.error());
      release(*held);
    } else {
      send_error(request_number, reply.error(), [this, held] { release(*held); });
    }
    co_return;
  }
  if (is_first) enter(Phase::open);
  OutFrame frame;
  frame.type = reply->type == Type::error ? Type::error : wire::answer_to(type);
  frame.request = request_number;
  frame.header = std::move(reply->header);
  frame.body = std::move(reply->body);
  resize(*held, frame.header.size() + frame.body_bytes());
  frame.sent = [this, held] { release(*held); };
  channel_.send(std::move(frame));
}

void Connection::send_error(std::uint64_t request_number, const Error& error, std::function<void()> sent) {
  OutFrame frame;
  frame.type = Type::error;
  frame.request = request_number;
  frame.header = wire::to_wire(error).SerializeAsString();
  frame.sent = std::move(sent);
  channel_.send(std::move(frame));
}

void Connection::resize(Held& held, std::uint64_t bytes) {
  bytes_in_flight_ = bytes_in_flight_ - held.bytes + bytes;
  if (held.claim) {
    held.claim->resize(bytes);
  } else {
    small_bytes_ = small_bytes_ - held.bytes + bytes;
  }
  held.bytes = bytes;
  room_.notify();
}

void Connection::release(Held& held) {
  --requests_in_flight_;
  bytes_in_flight_ -= held.bytes;
  if (!held.claim) small_bytes_ -= held.bytes;
  held.claim.reset();
  room_.notify();
  if (is_draining_ && requests_in_flight_ == 0) end_with(0, Error{Fault::stopped, 0, "the server is stopping"});
}

void Connection::end_with(std::uint64_t request_number, const Error& error) {
  if (phase_ == Phase::closing) return;
  log_end(error);
  send_error(request_number, error, nullptr);
  channel_.finish();
  enter(Phase::closing);
}

void Connection::log_end(const Error& error) const {
  if (error.fault == Fault::stopped) {
    log::info("session ended", {{"remote", remote_}, {"who", who()}, {"why", error.what}});
  } else if (peer_) {
    log::warn("session refused", {{"remote", remote_}, {"who", who()}, {"why", error.what}});
  } else {
    common_->strangers.warn("session refused", {{"remote", remote_}, {"who", who()}, {"why", error.what}});
  }
}

void Connection::close(Error error) {
  asio::post(executor(), [self = shared_from_this(), error = std::move(error)] {
    if (self->phase_ == Phase::handshake) self->stream_.close();
    self->end_with(0, error);
  });
}

void Connection::drain() {
  asio::post(executor(), [self = shared_from_this()] {
    self->is_draining_ = true;
    if (self->phase_ == Phase::handshake) self->stream_.close();
    if (self->requests_in_flight_ == 0) self->end_with(0, Error{Fault::stopped, 0, "the server is stopping"});
  });
}

void Connection::abort() {
  is_leaving_ = true;
  asio::post(executor(), [self = shared_from_this()] { self->stream_.close(); });
}

steady_clock::time_point Connection::next_deadline() const {
  switch (phase_) {
    case Phase::handshake:
    case Phase::greeting: return started_ + options_.handshake_deadline;
    case Phase::open: {
      const auto idle_since = being_handled_ > 0 || is_in_line_ ? steady_clock::now() : stream_.last_progress();
      const auto idle_until = idle_since + options_.idle_deadline;
      return receiving_ ? std::min(idle_until, receiving_->since + options_.pace_window) : idle_until;
    }
    case Phase::closing: return closing_until_;
  }
  return steady_clock::now();
}

void Connection::begin_to_receive() {
  receiving_ = Receiving{.since = steady_clock::now(), .bytes_before = stream_.bytes_received()};
}

/// Whether what has passed is the end of a window in which enough of the request came in. Begins the next one.
bool Connection::keeps_pace() {
  if (phase_ != Phase::open || !receiving_ || steady_clock::now() < receiving_->since + options_.pace_window)
    return false;
  if (stream_.bytes_received() - receiving_->bytes_before < options_.pace_bytes_min) return false;
  begin_to_receive();
  return true;
}

/// Whether it has held memory that others wait for, through a whole window in which its peer let hardly anything of it
/// come or go. What is being handled is not the peer's fault.
bool Connection::is_in_the_way() {
  const auto now = steady_clock::now();
  const std::uint64_t moved = stream_.bytes_received() + stream_.bytes_sent();
  const bool waits_for_peer =
      phase_ == Phase::open && bytes_in_flight_ > small_bytes_ && requests_in_flight_ > being_handled_;
  if (!waits_for_peer || !common_->memory.is_short() || moved - moving_.bytes_before >= options_.pace_bytes_min) {
    moving_ = {.since = now, .bytes_before = moved};
    return false;
  }
  return now - moving_.since >= options_.pressed_window;
}

void Connection::deadline_passed() {
  if (phase_ == Phase::open && receiving_ && steady_clock::now() >= receiving_->since + options_.pace_window) {
    log::warn("session refused", {{"remote", remote_}, {"who", who()}, {"why", "a request comes in too slowly"}});
  } else if (phase_ == Phase::open) {
    log::info("session idle", {{"remote", remote_}, {"who", who()}});
  } else if (phase_ != Phase::closing && being_handled_ == 0) {
    common_->strangers.warn("handshake refused",
                            {{"remote", remote_}, {"who", who()}, {"why", "no first message in time"}});
  }
  stream_.close();
}

awaitable<void> Connection::watch_deadlines() {
  while (!is_over_) {
    const auto deadline = next_deadline();
    if (is_in_the_way()) {
      log::warn("session refused", {{"remote", remote_}, {"who", who()}, {"why", "others wait for what it holds"}});
      stream_.close();
      break;
    }
    if (steady_clock::now() < deadline) {
      // A request may begin to come in meanwhile, whose window ends earlier.
      const auto window = std::min(options_.pace_window, options_.pressed_window);
      co_await deadline_.wait(std::min(deadline, steady_clock::now() + window));
    } else if (keeps_pace()) {
      continue;
    } else if (phase_ == Phase::greeting && being_handled_ > 0) {
      // The first message is there; how long its answer takes is the handler's affair.
      co_await deadline_.wait(steady_clock::now() + options_.handshake_deadline);
    } else {
      deadline_passed();
      break;
    }
  }
}

}  // namespace coffer::rpc
