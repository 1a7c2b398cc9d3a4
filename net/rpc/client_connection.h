// One connection as the client sees it: dials again and again, carries calls, and gives back what was not answered.
#pragma once

#include <memory>
#include <unordered_map>
#include <vector>

#include "net/rpc/backoff.h"
#include "net/rpc/call.h"
#include "net/rpc/channel.h"
#include "net/rpc/dialer.h"
#include "net/rpc/event.h"
#include "net/rpc/task_group.h"

namespace coffer::rpc {

class ClientCore;

/// Lives on the network thread. `core` must outlive it.
class ClientConnection {
 public:
  enum class Use { control, bulk };

  ClientConnection(ClientCore& core, Use use);

  /// Until the core is stopping. A bulk connection dials when it is wanted, and ends when it has had nothing to do for
  /// a while; the control connection is always there.
  boost::asio::awaitable<void> run();

  bool is_online() const { return is_online_; }
  bool is_dialling() const { return is_wanted_ && !is_online_; }
  /// The last attempt did not get as far as being online.
  bool has_failed() const { return has_failed_; }
  bool has_room_for(const Call& call) const;
  void take(CallPtr call);
  std::size_t in_flight_count() const { return in_flight_.size(); }
  std::uint64_t in_flight_bytes() const { return in_flight_bytes_; }

  void want();
  /// Somebody waits for the server: a pause may be over.
  void look_again() { wake_.notify(); }
  /// Ends the connection or the attempt; `again` dials without a pause.
  void break_off(bool again);

 private:
  boost::asio::awaitable<Error> attempt();
  boost::asio::awaitable<Error> dial_and_serve();
  boost::asio::awaitable<Result<void>> greet();
  boost::asio::awaitable<Error> receive_answers();
  boost::asio::awaitable<Result<void>> receive_answer(wire::Head head, CallPtr call);
  boost::asio::awaitable<void> keep_alive();
  boost::asio::awaitable<void> pause(Event::Time until, Event::Time until_if_waited_for);
  CallPtr remove(std::uint64_t number);
  std::vector<CallPtr> take_unanswered();
  void send(const CallPtr& call);
  boost::asio::awaitable<Result<Bytes>> receive_chunk(std::size_t bytes, CallPtr call);
  void count_bytes();

  ClientCore& core_;
  const Use use_;
  Event wake_;
  Event keep_alive_;
  Backoff backoff_;
  TaskGroup tasks_;  ///< Of the attempt that is running.
  std::shared_ptr<Dialer> dialer_;
  std::unique_ptr<Channel> channel_;
  bool is_wanted_;
  bool is_online_ = false;
  bool is_attempt_over_ = false;
  bool has_failed_ = false;
  bool has_answered_ = false;  ///< A request, since it is online.
  bool dials_again_ = false;
  std::chrono::steady_clock::time_point online_since_;
  std::chrono::steady_clock::time_point last_call_;
  std::uint64_t window_requests_ = 1;
  std::uint64_t window_bytes_ = 0;
  std::unordered_map<std::uint64_t, CallPtr> in_flight_;
  std::uint64_t in_flight_bytes_ = 0;
  std::uint64_t counted_sent_ = 0;
  std::uint64_t counted_received_ = 0;
};

}  // namespace coffer::rpc
