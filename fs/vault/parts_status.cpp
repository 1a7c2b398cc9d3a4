// What the stations say of themselves: for the status, for statfs, and before every change.
#include <algorithm>
#include <cerrno>

#include "common/base/text.h"
#include "common/os/disk.h"
#include "fs/vault/parts.h"
#include "fs/vault/quota.h"

namespace coffer::vault {

namespace {

std::string link_text(rpc::Link link) {
  switch (link) {
    case rpc::Link::connecting: return "connecting";
    case rpc::Link::online: return "online";
    case rpc::Link::offline: return "offline";
    case rpc::Link::refused: return "refused";
  }
  return "";
}

/// Writers wait when less than this is free (commit::Committer keeps about as much for what is on its way).
constexpr std::uint64_t kLittleRoomBytes = 80u << 20;

// Why writers wait, and what can be done about it; empty while there is room.
std::string room_problem(const spool::Spool& spool, os::Disk& disk, const std::string& folder) {
  if (spool.free_bytes() >= std::min(kLittleRoomBytes, spool.bytes_max() / 3)) return {};
  const std::string owed = base::format_size(spool.owed_bytes());
  const Result<std::uint64_t> disk_free = disk.free_bytes(folder);
  if (disk_free && *disk_free < kLittleRoomBytes + (64u << 20)) {
    return "the disk of " + folder + " is full (" + base::format_size(*disk_free) +
           " are free): writers wait. Make room on it; the spool keeps the " + owed + " that the server does not have";
  }
  return "the spool is full: " + owed + " of at most " + base::format_size(spool.bytes_max()) +
         " wait for the server, and so do writers. It empties as the server takes them; mount with a larger -o "
         "cache_size= if that is too slow";
}

std::string lease_text(LeaseState state) {
  switch (state) {
    case LeaseState::none: return "none";
    case LeaseState::held: return "held";
    case LeaseState::denied: return "denied";
    case LeaseState::lost: return "lost";
  }
  return "";
}

}  // namespace

Status Vault::Parts::status() const {
  Status status = status_of_tree(settings, *tree);
  status.mounted = true;
  status.mountpoint = options.mountpoint;
  status.folder = folder.path;
  status.read_only = read_only_ || is_fenced_ || is_refused();
  status.link = link_text(client->link());
  status.link_why = client->why();
  status.lease = lease_text(lease->state());
  status.lease_holder = lease->holder();
  status.buffered_bytes = committer->buffered_bytes();
  // The tree learns the size of a chunk that is being batched when it is sealed.
  if (status.owed_chunks > 0) status.owed_bytes += committer->open_chunk_bytes();
  if (file_system) status.open_files = file_system->open_for_writing().size();
  status.spool_bytes = spool->used_bytes();
  status.spool_bytes_max = spool->bytes_max();
  status.chunk_bytes_sent = client->chunk_bytes_sent();
  status.chunk_bytes_sent_again = client->chunk_bytes_sent_again();
  status.wire_bytes_sent = client->bytes_sent();
  status.wire_bytes_received = client->bytes_received();
  const upload::Progress progress = uploader->progress();
  status.chunks_sent = progress.chunks_sent;
  status.bytes_sent = progress.bytes_sent;
  status.bytes_in_flight = progress.bytes_in_flight;
  status.last_receipt_ns = progress.last_receipt_ns;
  const auto add = [&](const std::string& problem) {
    const bool is_known = std::ranges::find(status.problems, problem) != status.problems.end();
    if (!problem.empty() && !is_known) status.problems.push_back(problem);
  };
  for (const std::string& problem : progress.problems) add(problem);
  for (const std::string& damage : committer->damage()) add(damage);
  if (file_system) {
    for (const std::string& problem : file_system->problems()) add(problem);
  }
  const std::optional<rpc::ServerFacts> facts = client->facts();
  if (facts && settings.receipt_key && facts->receipt_key != *settings.receipt_key) {
    add(std::string(upload::kOtherReceiptKey));
  }
  add(room_problem(*spool, *folder.disk, folder.spool()));
  status.alarm = log_watch->alarm();
  status.healed_chunks = healer->healed_count();
  if (status.alarm) {
    add(status.alarm->what);
  } else {
    add(lease->problem());
    add(follower->problem());
  }
  const MutexLock guard(mutex_);
  if (server_state_) {
    status.wanted_chunks = server_state_->wanted_chunks;
    if (server_state_->scrubbed_ns > 0) status.scrubbed_ns = server_state_->scrubbed_ns;
  }
  if (!status.alarm && alarm_ != lease->problem()) add(alarm_);
  return status;
}

Result<void> Vault::Parts::accepts(std::uint64_t more_bytes) {
  if (read_only_) return answer(EROFS);
  if (is_fenced_ || is_refused()) return answer(EROFS);
  if (more_bytes == 0) return {};
  const auto fits = [&] {
    const files::Capacity room = capacity_with(more_bytes);
    return !room.quota_bytes || room.stored_bytes <= *room.quota_bytes;
  };
  if (fits()) return {};
  count_changes();  // Many of those that were made since have been committed, or were changes of the same.
  return fits() ? Result<void>() : answer(EDQUOT);
}

files::Capacity Vault::Parts::capacity() { return capacity_with(0); }

files::Capacity Vault::Parts::capacity_with(std::uint64_t more_bytes) {
  files::Capacity room;
  const upload::Progress progress = uploader->progress();
  Unsent unsent{.sealed_bytes = spool->owed_bytes(),
                .sealed_chunks = spool->owed_chunks(),
                .plain_bytes = committer->open_chunk_bytes() + committer->buffered_bytes() + more_bytes,
                .stored_chunks = 0,
                .changes = 0};
  const std::uint64_t stored_chunks = progress.chunks_sent + progress.chunks_skipped;
  unsent.stored_chunks = stored_chunks - std::min(stored_chunks, progress.chunks_added);
  const Mark mark = tree->mark();
  const MutexLock guard(mutex_);
  if (!server_state_) return room;
  unsent.changes = changes_then_ + (mark.value() - std::min(mark, counted_at_).value());
  const std::uint64_t sent = std::max(counted_bytes(progress), sent_then_) - sent_then_;
  room.stored_bytes = server_state_->stored_bytes + sent + counted_at_most(unsent);
  if (server_state_->quota_bytes > 0) room.quota_bytes = server_state_->quota_bytes;
  return room;
}

void Vault::Parts::count_changes() {
  const Mark mark = tree->mark();
  const Result<meta::Owed> owed = tree->owed();
  if (!owed) return;
  const MutexLock guard(mutex_);
  counted_at_ = mark;
  changes_then_ = owed->inodes + owed->names;
}

std::string Vault::Parts::status_json() { return to_json(status()); }

Status status_of_tree(const VaultSettings& settings, meta::Tree& tree) {
  Status status;
  status.vault = settings.name;
  status.server = settings.server.host + ":" + std::to_string(settings.server.port);
  status.link = "unmounted";
  status.lease = "none";
  const auto failed = [&](Error error) { status.problems.push_back("the local tree: " + error.what); };
  if (Result<meta::Totals> totals = tree.totals()) {
    status.files = totals->files;
    status.bytes = totals->bytes;
  } else {
    failed(totals.error());
  }
  if (Result<meta::Owed> owed = tree.owed()) {
    status.owed_files = owed->inodes;
    status.owed_names = owed->names;
    status.owed_chunks = owed->chunks;
    status.owed_bytes = owed->chunk_bytes;
    status.commit_pending = owed->commit_pending;
    status.owed_since_ns = owed->since_ns;
  } else {
    failed(owed.error());
  }
  if (Result<meta::Head> head = tree.head()) {
    status.head_seq = head->seq;
    status.head_hash = head->hash.hex();
  }
  return status;
}

}  // namespace coffer::vault
