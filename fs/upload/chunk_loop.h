// The thread that brings owed chunks to the server. For fs/upload only.
#pragma once

#include <deque>
#include <map>
#include <memory>
#include <set>
#include <vector>

#include "fs/upload/state.h"

namespace coffer::upload {

/// All members but run() belong to the thread of run().
class ChunkLoop {
 public:
  ChunkLoop(const Parts& parts, std::shared_ptr<Uploader::State> state) : parts_(parts), state_(std::move(state)) {}

  /// Returns when the state says `stopping`.
  void run();

 private:
  struct Troubled {
    unsigned refusals = 0;
    std::chrono::steady_clock::time_point retry_at;
  };

  void record_outcomes(std::vector<Outcome> outcomes);
  void record_failure(const Outcome& outcome);
  bool pick();
  Result<void> skip_what_is_stored();
  void send_picked();
  void send(const ChunkRow& chunk);
  void mark_stored(const std::vector<ChunkRow>& chunks);
  bool is_left_alone(ChunkKey key) const;

  Parts parts_;
  std::shared_ptr<Uploader::State> state_;
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
