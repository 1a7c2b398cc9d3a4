// What a file may hold after a crash, from what was asked of it and what was answered.
//
// Each change is noted before the call that makes it, and again when the call has answered. A change that no promise
// covers yet may be there, or not, byte by byte; one that is covered is there, and hides what it replaced.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace coffer::testing {

/// Whose copy is looked at: close(2) answers for the client's own disk, fsync(2) for the server.
enum class Copy { local, server };

/// Not thread-safe.
class FileHistory {
 public:
  FileHistory();

  /// For messages.
  unsigned number() const { return number_; }
  /// The content that a reader sees while all goes well.
  const std::string& now() const { return now_; }

  /// Before write(2) and its kin.
  void will_write(std::uint64_t at, std::string bytes);
  /// Before the file gets a new length, by truncate(2) or O_TRUNC; and after that call.
  void will_truncate(std::uint64_t bytes);
  void truncated();
  /// close(2) of a descriptor that may write has answered.
  void closed();
  /// fsync(2) has answered.
  void committed();
  /// The write asked for last has answered, and the descriptor has O_SYNC. That sends its own pages, and what the
  /// client has; what other descriptors wrote before may still be in the kernel alone.
  void written_through();
  /// Read after a crash, and one of the contents that were possible: from now on the only one on the local disk.
  void found(const std::string& content);

  /// How many changes the local disk has for certain: who gave the file a name then showed no less of it.
  std::uint64_t spooled_count() const;
  /// Why `content` cannot be what that copy holds, given that it holds the first `at_least` changes; empty if it can.
  std::string why_not(Copy copy, std::uint64_t at_least, std::string_view content) const;

 private:
  enum class Kind { write, truncate, replace };
  struct Change {
    Kind kind;
    std::uint64_t at;
    std::string bytes;
    bool is_spooled = false;
    bool is_committed = false;
  };
  struct Possible;

  Possible possible(Copy copy, std::uint64_t at_least) const;

  const unsigned number_;
  std::string now_;
  std::string committed_;              // What the server has at least.
  std::uint64_t committed_count_ = 0;  // Changes in it.
  std::vector<Change> changes_;        // Those since.
};

using File = std::shared_ptr<FileHistory>;

}  // namespace coffer::testing
