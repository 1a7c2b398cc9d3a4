#include "fs/upload/chunk_loop.h"

#include <algorithm>
#include <limits>
#include <span>
#include <utility>

#include "common/base/log.h"

namespace coffer::upload {

namespace {

using std::chrono::steady_clock;
using namespace std::chrono_literals;

constexpr std::size_t kPickedMax = 32;  // About a window's worth: newer, more urgent chunks do not wait for longer.
constexpr std::size_t kAskedMax = 4096;
constexpr unsigned kRefusalsMax = 3;
// A chunk waits in the client through an outage; the deadline only bounds how long an answer can be missing.
constexpr auto kPutDeadline = 10min;
constexpr auto kHaveDeadline = 30s;
constexpr auto kPause = 10s;            // Between tries where the quota is full or the server's disk failed.
constexpr auto kTroubledPause = 10min;  // Until a chunk that was refused three times is tried again.
constexpr auto kIdle = 30s;

std::string problem_of(const ChunkRow& chunk) { return "chunk " + object::short_hex(chunk.id.bytes()); }

}  // namespace

void ChunkLoop::run() {
  for (;;) {
    std::vector<Outcome> outcomes;
    bool ready = false;
    bool link_came = false;
    bool is_waited_for = false;
    {
      const MutexLock lock(state_->mutex);
      tell_whether_idle();
      const auto until = steady_clock::now() + kIdle;
      for (;;) {
        if (state_->stopping) return;
        if (state_->chunks_due && steady_clock::now() >= *state_->chunks_due) {
          state_->chunks_due.reset();
          state_->chunks_wanted = true;
        }
        const bool may_send = parts_.remote.online() && state_->epoch && steady_clock::now() >= paused_until_;
        const bool has_room = bytes_in_flight_ < window_.bytes();
        ready = may_send && has_room && (!picked_.empty() || state_->chunks_wanted || state_->reordered);
        if (ready || !state_->outcomes.empty()) break;
        auto wake_at = !may_send && paused_until_ > steady_clock::now() ? std::min(until, paused_until_) : until;
        if (state_->chunks_due) wake_at = std::min(wake_at, *state_->chunks_due);
        if (!state_->chunk_work.wait_until(state_->mutex, wake_at) && wake_at == until) {
          state_->chunks_wanted = true;  // Troubled chunks come back by time, not by an event.
          break;
        }
      }
      outcomes.swap(state_->outcomes);
      is_waited_for = state_->reordered;
      if (is_waited_for) picked_.clear();
      state_->reordered = false;
      if (ready) link_came = std::exchange(state_->link_came, false);
    }
    if (!outcomes.empty()) record_outcomes(std::move(outcomes));
    look_at_troubled(is_waited_for);
    if (!ready) continue;
    if (link_came) {
      Result<std::vector<ChunkRow>> all =
          parts_.tree.owed_chunks(std::numeric_limits<std::int32_t>::max(), [&](ChunkKey key) {
            return in_flight_.contains(key);  // The client sends those again by itself.
          });
      if (all) {
        for (const ChunkRow& chunk : *all) unsure_.insert_or_assign(chunk.key, chunk);
      }
    }
    if (picked_.empty() && !pick()) continue;
    if (const Result<void> asked = skip_what_is_stored(); !asked) {
      picked_.clear();
      const MutexLock lock(state_->mutex);
      state_->chunks_wanted = true;
      paused_until_ = steady_clock::now() + 1s;
      continue;
    }
    send_picked();
  }
}

void ChunkLoop::tell_whether_idle() {
  const bool was_all_sent = state_->is_all_sent();
  state_->chunks_troubled = !troubled_.empty();
  state_->chunks_idle = in_flight_.empty() && picked_.empty() && state_->outcomes.empty();
  if (state_->is_all_sent() && !was_all_sent) state_->commit_work.notify_one();
}

bool ChunkLoop::is_left_alone(ChunkKey key) const {
  if (in_flight_.contains(key)) return true;
  const auto troubled = troubled_.find(key);
  return troubled != troubled_.end() && steady_clock::now() < troubled->second.retry_at;
}

void ChunkLoop::give_up_for_now(Troubled& troubled, const Error& why) {
  troubled.refusals = 0;
  troubled.failed_at = steady_clock::now();
  troubled.retry_at = troubled.failed_at + kTroubledPause;
  troubled.is_told = true;
  state_->set_problem(problem_of(troubled.chunk), why);
  if (chunk_failed_) chunk_failed_(troubled.chunk, why);
  const MutexLock lock(state_->mutex);
  ++state_->commits_done;  // Who waits for it looks again.
  state_->committed.notify_all();
}

void ChunkLoop::resolve(std::map<ChunkKey, Troubled>::iterator troubled) {
  const Troubled was = std::move(troubled->second);
  troubled_.erase(troubled);
  if (!was.is_told) return;
  state_->clear_problem(problem_of(was.chunk));
  if (chunk_failed_) chunk_failed_(was.chunk, std::nullopt);
}

// Whoever waits has it tried again at once, but not again and again. A chunk whose files are gone or were written anew
// is no trouble any more.
void ChunkLoop::look_at_troubled(bool is_waited_for) {
  const auto now = steady_clock::now();
  for (auto at = troubled_.begin(); at != troubled_.end();) {
    const auto troubled = at++;
    const Result<ChunkRow> row = parts_.tree.chunk(troubled->first);
    if (!row && row.error().fault == Fault::answer) {
      resolve(troubled);
    } else if (is_waited_for && troubled->second.is_told && now > troubled->second.failed_at + kPause) {
      troubled->second.retry_at = now;
    }
  }
}

// False when nothing is owed that could be sent now.
bool ChunkLoop::pick() {
  {
    const MutexLock lock(state_->mutex);
    state_->chunks_wanted = false;  // Before the tree is asked: what becomes owed meanwhile asks again.
    state_->chunks_due.reset();
    state_->chunks_idle = false;
  }
  Result<std::vector<ChunkRow>> owed =
      parts_.tree.owed_chunks(kPickedMax, [&](ChunkKey key) { return is_left_alone(key); });
  if (!owed) {
    state_->set_problem("tree", std::move(owed).error().in("the list of owed chunks"));
    paused_until_ = steady_clock::now() + kPause;
    return false;
  }
  picked_.assign(owed->begin(), owed->end());
  const MutexLock lock(state_->mutex);
  if (picked_.size() == kPickedMax) state_->chunks_wanted = true;
  if (picked_.empty() && in_flight_.empty()) state_->problems.erase("quota");  // Whatever it was about is gone.
  return !picked_.empty();
}

// One question for many chunks, and only while some of the picked ones are unsure.
Result<void> ChunkLoop::skip_what_is_stored() {
  const auto is_unsure = [&](const ChunkRow& chunk) { return unsure_.contains(chunk.key); };
  if (std::ranges::none_of(picked_, is_unsure)) return {};
  std::vector<ChunkRow> asked;
  for (const ChunkRow& chunk : picked_) {
    if (is_unsure(chunk)) asked.push_back(chunk);
  }
  for (const auto& [key, chunk] : unsure_) {
    if (asked.size() >= kAskedMax) break;
    if (std::ranges::none_of(picked_, [&, k = key](const ChunkRow& row) { return row.key == k; }))
      asked.push_back(chunk);
  }
  std::vector<object::ChunkId> ids;
  for (const ChunkRow& chunk : asked) ids.push_back(chunk.id);
  COFFER_TRY(const std::vector<rpc::HaveState> states, rpc::wait<std::vector<rpc::HaveState>>([&](auto done) {
               parts_.remote.have(std::move(ids), steady_clock::now() + kHaveDeadline, std::move(done));
             }));
  if (states.size() != asked.size()) return Error{Fault::protocol, 0, "have: an answer of another length"};
  std::vector<ChunkRow> stored;
  for (std::size_t i = 0; i < asked.size(); ++i) {
    unsure_.erase(asked[i].key);
    received_.erase(asked[i].key);
    if (states[i].stored) {
      stored.push_back(asked[i]);
    } else if (states[i].received > 0 && states[i].received <= asked[i].sealed_bytes) {
      received_[asked[i].key] = states[i].received;
    }
  }
  if (stored.empty()) return {};
  log::info("upload_resumed", {{"asked", asked.size()}, {"stored", stored.size()}});
  std::erase_if(picked_, [&](const ChunkRow& chunk) {
    return std::ranges::any_of(stored, [&](const ChunkRow& row) { return row.key == chunk.key; });
  });
  {
    const MutexLock lock(state_->mutex);
    state_->progress.chunks_skipped += stored.size();
    state_->chunks_wanted = true;
  }
  mark_stored(stored);
  return {};
}

void ChunkLoop::send_picked() {
  while (!picked_.empty() && bytes_in_flight_ < window_.bytes()) {
    const ChunkRow chunk = picked_.front();
    picked_.pop_front();
    if (!is_left_alone(chunk.key)) send(chunk);
  }
  const MutexLock lock(state_->mutex);
  state_->progress.bytes_in_flight = bytes_in_flight_;
  state_->progress.window_bytes = window_.bytes();
}

void ChunkLoop::send(const ChunkRow& chunk) {
  Result<std::shared_ptr<const Bytes>> sealed = parts_.spool.get(chunk.id);
  if (!sealed) {
    if (!parts_.tree.chunk(chunk.key)) return;  // Nobody needs it any more: its file is gone.
    log::error("spool_chunk_unreadable", {{"chunk", chunk.id.hex()}, {"why", sealed.error().what}});
    if (Result<void> forgotten = parts_.tree.forget_pieces(std::span(&chunk.key, 1)); !forgotten) {
      log::warn("pieces_not_forgotten", {{"why", forgotten.error().what}});  // The next try does it.
    }
    Troubled& troubled = troubled_[chunk.key];
    troubled.chunk = chunk;
    give_up_for_now(troubled,
                    {Fault::corrupt, EIO,
                     problem_of(chunk) + " can no longer be read on this machine: write the files again that " +
                         "`coffer owed list` shows with this"});
    return;
  }
  std::uint64_t offset = 0;
  if (const auto received = received_.extract(chunk.key))
    offset = std::min<std::uint64_t>(received.mapped(), (*sealed)->size());
  in_flight_.insert(chunk.key);
  bytes_in_flight_ += chunk.sealed_bytes;
  const auto sent_at = steady_clock::now();
  parts_.remote.put_chunk(chunk.id, *std::move(sealed), offset, sent_at + kPutDeadline,
                          [state = state_, chunk, sent_at](Result<rpc::PutChunkDone> done) {
                            Outcome outcome{chunk, sent_at, std::nullopt};
                            if (!done) outcome.error = std::move(done).error();
                            const MutexLock lock(state->mutex);
                            state->outcomes.push_back(std::move(outcome));
                            state->chunk_work.notify_one();
                          });
}

void ChunkLoop::record_outcomes(std::vector<Outcome> outcomes) {
  const auto now = steady_clock::now();
  std::vector<ChunkRow> stored;
  for (const Outcome& outcome : outcomes) {
    in_flight_.erase(outcome.chunk.key);
    bytes_in_flight_ -= outcome.chunk.sealed_bytes;
    if (outcome.error) {
      record_failure(outcome);
      continue;
    }
    window_.acknowledged(outcome.chunk.sealed_bytes, now - outcome.sent_at);
    if (const auto troubled = troubled_.find(outcome.chunk.key); troubled != troubled_.end()) resolve(troubled);
    stored.push_back(outcome.chunk);
  }
  {
    const MutexLock lock(state_->mutex);
    if (!stored.empty()) {
      state_->problems.erase("quota");
      state_->problems.erase("server");
    }
    for (const ChunkRow& chunk : stored) state_->progress.bytes_sent += chunk.sealed_bytes;
    state_->progress.chunks_sent += stored.size();
    state_->progress.bytes_in_flight = bytes_in_flight_;
  }
  if (!stored.empty()) mark_stored(stored);
}

void ChunkLoop::mark_stored(const std::vector<ChunkRow>& chunks) {
  std::vector<ChunkKey> keys;
  for (const ChunkRow& chunk : chunks) keys.push_back(chunk.key);
  if (Result<void> recorded = parts_.tree.chunks_stored(keys); !recorded) {
    state_->set_problem("tree", std::move(recorded).error().in("recording stored chunks"));
    for (const ChunkRow& chunk : chunks) unsure_.insert_or_assign(chunk.key, chunk);
    paused_until_ = steady_clock::now() + kPause;
    return;
  }
  for (const ChunkRow& chunk : chunks) parts_.spool.release(chunk.id);
  const MutexLock lock(state_->mutex);
  state_->problems.erase("tree");
  state_->want_commit();
}

void ChunkLoop::record_failure(const Outcome& outcome) {
  const ChunkRow& chunk = outcome.chunk;
  const Error& error = *outcome.error;
  const auto now = steady_clock::now();
  switch (error.fault) {
    case Fault::stopped: return;
    case Fault::corrupt: {
      // Broken on the way, or here: the next try reads the spool again, and goes on from where it was good.
      unsure_.insert_or_assign(chunk.key, chunk);
      Troubled& troubled = troubled_[chunk.key];
      troubled.chunk = chunk;
      log::warn("chunk_refused", {{"chunk", chunk.id.hex()}, {"try", troubled.refusals + 1}, {"why", error.what}});
      if (++troubled.refusals >= kRefusalsMax) {
        give_up_for_now(troubled, {Fault::corrupt, EIO,
                                   problem_of(chunk) + " arrived damaged three times; it is kept here and " +
                                       "tried again later: check memory and network"});
      }
      break;
    }
    case Fault::refused:
    case Fault::full:
      paused_until_ = now + kPause;
      state_->set_problem("quota", error);
      window_.failed();
      break;
    default:
      window_.failed();
      unsure_.insert_or_assign(chunk.key, chunk);  // The answer was lost, perhaps not the chunk.
      if (error.fault != Fault::offline) {
        paused_until_ = now + kPause;
        state_->set_problem("server", error);
      }
      break;
  }
  const MutexLock lock(state_->mutex);
  state_->chunks_wanted = true;
}

}  // namespace coffer::upload
