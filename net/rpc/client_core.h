// What a Client consists of: the calls that wait, their deadlines, the link, and the network thread.
#pragma once

#include <atomic>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <deque>
#include <memory>
#include <set>
#include <thread>
#include <vector>

#include "common/base/mutex.h"
#include "net/rpc/call.h"
#include "net/rpc/client.h"
#include "net/rpc/client_connection.h"
#include "net/rpc/event.h"
#include "net/rpc/task_group.h"

namespace coffer::rpc {

class ClientCore {
 public:
  ClientCore(ClientOptions options, os::Random& random);
  ~ClientCore();

  // From any thread.
  void start();
  void stop();
  void submit(Call call);
  void reload_identity();
  void somebody_waits(bool begins);
  void on_link_change(std::function<void(Link)> callback) { link_changed_ = std::move(callback); }
  Link link() const;
  std::string why() const;
  std::optional<ServerFacts> facts() const;
  std::size_t carried_bytes_max() const { return carried_bytes_max_; }
  Result<void> wait_online(Deadline deadline);
  std::uint64_t bytes_sent() const { return bytes_sent_; }
  std::uint64_t bytes_received() const { return bytes_received_; }
  std::uint64_t chunk_bytes_sent() const { return chunk_bytes_sent_; }
  std::uint64_t chunk_bytes_sent_again() const { return chunk_bytes_sent_again_; }

  // On the network thread, for the connections.
  boost::asio::any_io_executor executor() { return io_.get_executor(); }
  const ClientOptions& options() const { return options_; }
  os::Random& random() { return random_; }
  bool is_stopping() const { return is_stopping_; }
  bool is_waited_for() const { return waiting_ > 0; }
  /// A connection pauses before it dials again, or no longer: whom somebody_waits() tells.
  void pauses(bool begins) { begins ? ++pauses_ : --pauses_; }
  std::uint64_t next_number() { return ++last_number_; }
  void count(std::uint64_t sent, std::uint64_t received);
  void control_is_online(ServerFacts facts);
  void control_has_ended(const Error& why);
  void complete(const CallPtr& call, Result<Answer> answer);
  /// A connection was given the chunk's bytes `from` … `until`.
  void count_chunk(Call& call, std::uint64_t from, std::uint64_t until);
  /// The server has other bytes of the chunk than the call went on from.
  void go_on_elsewhere(const CallPtr& call, std::uint64_t offset);
  /// Calls whose connection broke: they go first again, in their old order; chunks after the server was asked how much
  /// of them it has.
  void give_back(std::vector<CallPtr> calls);
  /// Hands waiting calls to connections, and opens a further one where all are busy.
  void pump();

 private:
  void take_incoming();
  void enqueue(CallPtr call);
  void fail_waiting(const Error& error);
  void ask_about_unsure();
  void learnt(const std::vector<CallPtr>& asked, const Result<Answer>& answer);
  void set_link(Link link, std::string why);
  ClientConnection* least_loaded(const Call& call);
  void open_another();
  boost::asio::awaitable<void> watch_deadlines();
  boost::asio::awaitable<void> retry_later(CallPtr call);
  boost::asio::awaitable<void> shut_down();

  const ClientOptions options_;
  os::Random& random_;
  std::function<void(Link)> link_changed_;
  std::atomic<std::uint64_t> bytes_sent_ = 0;
  std::atomic<std::uint64_t> bytes_received_ = 0;
  std::atomic<std::uint64_t> chunk_bytes_sent_ = 0;
  std::atomic<std::uint64_t> chunk_bytes_sent_again_ = 0;
  std::atomic<unsigned> waiting_ = 0;  ///< Who waits for the server.
  std::atomic<unsigned> pauses_ = 0;   ///< Connections.

  // Of the network thread.
  boost::asio::io_context io_{1};
  boost::asio::executor_work_guard<boost::asio::io_context::executor_type> work_;
  TaskGroup tasks_;
  Event deadline_;
  std::vector<std::unique_ptr<ClientConnection>> connections_;  ///< The first one is for control.
  std::deque<CallPtr> control_;                                 ///< Waiting for a connection.
  std::deque<CallPtr> bulk_;
  std::deque<CallPtr> unsure_;  ///< Chunks of which the server may have a part: to be asked about, then sent.
  std::set<std::pair<Deadline, CallPtr>> deadlines_;  ///< Of all calls that are not done.
  std::uint64_t last_number_ = 0;
  bool is_stopping_ = false;

  mutable Mutex mutex_;
  Condition link_change_;
  std::deque<CallPtr> incoming_ GUARDED_BY(mutex_);
  bool is_incoming_posted_ GUARDED_BY(mutex_) = false;
  bool is_stopped_ GUARDED_BY(mutex_) = false;
  Link link_ GUARDED_BY(mutex_) = Link::connecting;
  std::string why_ GUARDED_BY(mutex_) = "not connected yet";
  std::optional<ServerFacts> facts_ GUARDED_BY(mutex_);
  std::atomic<std::size_t> carried_bytes_max_ = 0;  ///< Of these facts.

  std::thread thread_;
};

}  // namespace coffer::rpc
