// What `coffer status` says: is it safe, and if not, what is owed, since when, and why.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace coffer::vault {

/// The server's log is not the one that this client has seen.
struct LogAlarm {
  std::string what;  ///< A sentence.
  std::uint64_t server_seq = 0, seen_seq = 0;
  std::optional<std::uint64_t> last_common;  ///< None: not looked into yet, or not known.
  std::vector<std::string> paths;            ///< Not on the server as they are here; the first of them.
  std::uint64_t path_count = 0;
};

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
  std::uint64_t wanted_chunks = 0;          ///< That the server has lost, when it last said so.
  std::uint64_t healed_chunks = 0;          ///< That it took back from here since the mount.
  std::optional<std::int64_t> scrubbed_ns;  ///< All that the server had then it has read back since.
  std::optional<LogAlarm> alarm;
  std::vector<std::string> problems;

  bool all_committed() const {
    return !alarm && buffered_bytes == 0 && owed_files == 0 && owed_names == 0 && owed_chunks == 0 && !commit_pending;
  }
};

/// Why what is owed does not go, or nothing.
std::string why_owed(const Status& status);
/// One line of JSON; the shape is stable (fs/control/control_server.h).
std::string to_json(const Status& status);
/// Nothing if `text` is not such JSON.
std::optional<Status> status_from_json(const std::string& text);
/// For a person: one sentence, and a line for each problem.
std::string to_sentence(const Status& status);

}  // namespace coffer::vault
