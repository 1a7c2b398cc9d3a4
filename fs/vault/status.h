// What `coffer status` says: is it safe, and if not, what is owed, since when, and why.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace coffer::vault {

struct Status {
  std::string vault, server, mountpoint;
  std::string folder;  ///< Of the vault in its home: by it, commands find the home of a mount.
  bool mounted = false;
  bool read_only = false;
  std::string link;                    ///< connecting, online, offline, refused, or unmounted
  std::string link_why;                ///< Empty while online.
  std::string lease;                   ///< held, none, denied, lost
  std::string lease_holder;            ///< Who else has it.
  std::uint64_t files = 0, bytes = 0;  ///< Of the whole tree.
  std::uint64_t buffered_bytes = 0;    ///< Level memory.
  std::uint64_t open_files = 0;        ///< Open for writing: what their programs write next is not known yet.
  std::uint64_t owed_files = 0, owed_names = 0, owed_chunks = 0, owed_bytes = 0;
  bool commit_pending = false;
  std::optional<std::int64_t> owed_since_ns;  ///< Since 1970.
  std::uint64_t head_seq = 0;
  std::string head_hash;
  std::uint64_t spool_bytes = 0, spool_bytes_max = 0;
  std::uint64_t chunks_sent = 0, bytes_sent = 0, bytes_in_flight = 0, wire_bytes_sent = 0, wire_bytes_received = 0;
  /// Of chunks, since the mount: given to connections to send, and of these such as others had been given before.
  std::uint64_t chunk_bytes_sent = 0, chunk_bytes_sent_again = 0;
  std::optional<std::int64_t> last_receipt_ns;
  std::vector<std::string> problems;

  bool all_committed() const {
    return buffered_bytes == 0 && owed_files == 0 && owed_names == 0 && owed_chunks == 0 && !commit_pending;
  }
};

/// One line of JSON; the shape is stable (fs/control/control_server.h).
std::string to_json(const Status& status);
/// Nothing if `text` is not such JSON.
std::optional<Status> status_from_json(const std::string& text);
/// For a person: one sentence, and a line for each problem.
std::string to_sentence(const Status& status);

}  // namespace coffer::vault
