// The thread that brings owed chunks to the server. For fs/upload only.
#pragma once

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <vector>

#include "fs/upload/state.h"

namespace coffer::upload {

/// All members but run() belong to the thread of run().
class ChunkLoop {
 public:
  using ChunkFailed = std::function<void(const ChunkRow&, const std::optional<Error>&)>;

  ChunkLoop(const Parts& parts, std::shared_ptr<Uploader::State> state, ChunkFailed chunk_failed)
      : parts_(parts), state_(std::move(state)), chunk_failed_(std::move(chunk_failed)) {}

  /// Returns when the state says `stopping`.
  void run();

 private:
  struct Troubled {
    ChunkRow chunk;
    unsigned refusals = 0;
    std::chrono::steady_clock::time_point failed_at, retry_at;
    bool is_told = false;  ///< Its files know.
  };

  void tell_whether_idle() REQUIRES(state_->mutex);
  void record_outcomes(std::vector<Outcome> outcomes);
  void record_failure(const Outcome& outcome);
  bool pick();
  Result<void> skip_what_is_stored();
  void send_picked();
  void send(const ChunkRow& chunk);
  void mark_stored(const std::vector<ChunkRow>& chunks);
  bool is_left_alone(ChunkKey key) const;
  void give_up_for_now(Troubled& troubled, const Error& why);
  /// Not troubled any more: sent, or needed by nobody.
  void resolve(std::map<ChunkKey, Troubled>::iterator troubled);
  void look_at_troubled(bool is_waited_for);

  Parts parts_;
  std::shared_ptr<Uploader::State> state_;
  const ChunkFailed chunk_failed_;
  Window window_;
  std::deque<ChunkRow> picked_;   // To be sent next, most urgent first.
  std::set<ChunkKey> in_flight_;  // Handed to the network, not answered.
  std::size_t bytes_in_flight_ = 0;
  std::map<ChunkKey, Troubled> troubled_;
  std::map<ChunkKey, ChunkRow> unsure_;  // Perhaps stored already: an earlier process or connection may have sent them.
  std::map<ChunkKey, std::uint64_t> received_;  // Bytes that the server has of chunks that were broken off.
  std::chrono::steady_clock::time_point paused_until_{};
};

}  // namespace coffer::upload
