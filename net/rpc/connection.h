// One connection as the server sees it: handshake, first message, requests in flight, end.
#pragma once

#include <atomic>
#include <chrono>
#include <memory>
#include <optional>

#include "net/rpc/budget.h"
#include "net/rpc/channel.h"
#include "net/rpc/server.h"
#include "net/rpc/stranger_log.h"
#include "net/rpc/task_group.h"
#include "net/tls/stream.h"

namespace coffer::rpc {

/// What the connections of one server have in common.
struct Common {
  explicit Common(const ServerOptions& options);
  Budget memory;
  StrangerLog strangers;
};

/// Lives on its socket's executor (a strand); close(), drain() and abort() come from any thread.
///
///     handshake → greeting → open → closing
///
/// and from each of them to closing. In `closing` nothing that comes in is handled any more.
class Connection final : public Session, public std::enable_shared_from_this<Connection> {
 public:
  Connection(std::uint64_t number, std::string remote, boost::asio::ip::tcp::socket socket, tls::Context tls_context,
             const ServerOptions& options, Handler& handler, std::shared_ptr<Common> common);

  /// Everything, from the handshake to the end of the last request.
  boost::asio::awaitable<void> run();

  boost::asio::any_io_executor executor() override { return stream_.socket().get_executor(); }
  void close(Error error) override;
  /// The handshake is over: peer() does not change any more, and may be read from any thread.
  bool is_known() const { return is_known_; }
  /// It has not said hello, and was not told to leave either. From any thread.
  bool is_stranger() const { return !has_greeted_ && !is_leaving_; }
  /// Takes no more requests, and closes once those in flight are answered.
  void drain();
  /// Closes the socket at once.
  void abort();

 private:
  enum class Phase { handshake, greeting, open, closing };
  /// What one request, and then its answer, hold in memory.
  struct Held {
    std::uint64_t bytes = 0;
    std::shared_ptr<Budget::Claim> claim;  ///< None of a small one, which is the connection's own share.
  };
  using HeldPointer = std::shared_ptr<Held>;

  boost::asio::awaitable<void> serve();
  boost::asio::awaitable<Result<void>> shake_hands();
  boost::asio::awaitable<Result<void>> receive_requests();
  boost::asio::awaitable<Result<void>> receive_request(wire::Head head);
  boost::asio::awaitable<Result<void>> receive_body(Request& request, std::size_t bytes);
  boost::asio::awaitable<void> answer(std::uint64_t request_number, Request request, HeldPointer held);
  boost::asio::awaitable<void> wait_for_room(std::uint64_t bytes);
  boost::asio::awaitable<HeldPointer> take_memory(std::uint64_t bytes);
  boost::asio::awaitable<void> watch_deadlines();
  boost::asio::awaitable<void> discard_rest();
  Result<void> may_send(const wire::Head& head) const;
  std::chrono::steady_clock::time_point next_deadline() const;
  void begin_to_receive();
  bool keeps_pace();
  bool is_in_the_way();
  void deadline_passed();
  void send_error(std::uint64_t request_number, const Error& error, std::function<void()> sent);
  void resize(Held& held, std::uint64_t bytes);
  void release(Held& held);
  void end_with(std::uint64_t request_number, const Error& error);
  void enter(Phase phase);
  std::string who() const;
  void log_refusal(const Error& error) const;
  void log_end(const Error& error) const;

  /// Of a request that is coming in: since when its pace is watched, and what had come by then.
  struct Receiving {
    std::chrono::steady_clock::time_point since;
    std::uint64_t bytes_before = 0;
  };
  /// Since when it is watched whether anything moves, while others wait for memory.
  struct Moving {
    std::chrono::steady_clock::time_point since;
    std::uint64_t bytes_before = 0;  ///< In both directions.
  };

  const ServerOptions& options_;
  Handler& handler_;
  const std::shared_ptr<Common> common_;
  tls::Stream stream_;
  Channel channel_;
  TaskGroup tasks_;
  Event room_;      ///< Something in flight has ended, or the phase has changed.
  Event deadline_;  ///< The phase has changed.
  Phase phase_ = Phase::handshake;
  std::chrono::steady_clock::time_point started_;
  std::chrono::steady_clock::time_point closing_until_;
  std::size_t requests_in_flight_ = 0;  ///< Until their answers are sent.
  std::uint64_t bytes_in_flight_ = 0;
  std::uint64_t small_bytes_ = 0;  ///< Of them the small ones, which have no claim.
  std::string client_;             ///< Whose claims to the common memory they are.
  bool is_in_line_ = false;
  std::optional<Receiving> receiving_;
  Moving moving_;
  std::size_t being_handled_ = 0;
  std::atomic<bool> is_known_ = false;
  std::atomic<bool> has_greeted_ = false;
  std::atomic<bool> is_leaving_ = false;
  bool is_draining_ = false;
  bool has_handled_ = false;
  bool is_over_ = false;
};

}  // namespace coffer::rpc
