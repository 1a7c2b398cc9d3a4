// What a SimDisk holds. For sim_*.cpp alone.
#pragma once

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "common/base/mutex.h"
#include "tests/testing/sim_disk.h"

namespace coffer::testing {

/// splitmix64.
class SimRandom {
 public:
  explicit SimRandom(std::uint64_t seed) : state_(seed * 0x9E3779B97F4A7C15u + 1) {}
  std::uint64_t next() {
    std::uint64_t z = (state_ += 0x9E3779B97F4A7C15u);
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    return z ^ (z >> 31);
  }
  std::size_t below(std::size_t bound) { return static_cast<std::size_t>(next() % bound); }
  bool coin() { return (next() & 1) != 0; }

 private:
  std::uint64_t state_;
};

struct SimNode;
using SimNodePtr = std::shared_ptr<SimNode>;
using SimNames = std::map<std::string, SimNodePtr>;

/// A change of a file: bytes at an offset, or (`is_truncate`) a new length.
struct SimChange {
  std::uint64_t at;
  Bytes bytes;
  bool is_truncate;
};

/// A rename from one folder to another: one transaction of the file system's journal, so both see it or neither.
struct SimMove {
  std::optional<bool> is_kept;
};

/// A change of a folder: `name` becomes `node`, or nothing; `from` is where it was before, if it is a rename within
/// it. Of a `move` each of the two folders has one.
struct SimNameChange {
  std::string name;
  SimNodePtr node;
  std::string from;
  std::shared_ptr<SimMove> move{};
};

struct SimNode {
  bool is_folder = false;
  Bytes now, safe;
  std::vector<SimChange> dirty;
  SimNames names_now, names_safe;
  std::vector<SimNameChange> names_dirty;

  void change(SimChange what);
  void change(SimNameChange what);
  void sync();
  void lose_power(SimRandom& random);
};

class SimDisk::State {
 public:
  explicit State(std::uint64_t seed) : random(seed), root(std::make_shared<SimNode>()) { root->is_folder = true; }

  /// Of a call that changes nothing.
  Result<void> check(std::uint64_t of_epoch) const REQUIRES(mutex);
  /// Counts a call. False in the one in which the power goes: it is to be done, and then to fail.
  Result<bool> count(std::uint64_t of_epoch) REQUIRES(mutex);
  Result<void> sync(SimNode& node, std::uint64_t of_epoch) REQUIRES(mutex);
  Result<void> change(SimNode& node, SimChange what, std::uint64_t of_epoch) REQUIRES(mutex);
  Result<void> change(SimNode& node, SimNameChange what, std::uint64_t of_epoch) REQUIRES(mutex);
  Result<void> move(const std::string& from, const std::string& to) REQUIRES(mutex);
  /// What is said of a change that was done.
  Result<void> said_of_change() REQUIRES(mutex);
  /// Its folder and its last name; ENOENT where the folder is not there.
  Result<std::pair<SimNodePtr, std::string>> folder_of(const std::string& path) REQUIRES(mutex);
  Result<SimNodePtr> find(const std::string& path) REQUIRES(mutex);
  Result<SimNodePtr> open(const std::string& path, os::Open how) REQUIRES(mutex);
  Result<void> remove(const std::string& path) REQUIRES(mutex);
  void restart() REQUIRES(mutex);

  static Error power_is_off() { return {Fault::local_io, EIO, "the power is off"}; }

  mutable Mutex mutex;
  SimRandom random GUARDED_BY(mutex);
  SimNodePtr root GUARDED_BY(mutex);
  std::uint64_t epoch GUARDED_BY(mutex) = 1;
  std::uint64_t calls GUARDED_BY(mutex) = 0;
  std::uint64_t cut_at GUARDED_BY(mutex) = 0;
  bool is_off GUARDED_BY(mutex) = false;
  std::uint64_t syncs GUARDED_BY(mutex) = 0;
  std::uint64_t fail_sync_at GUARDED_BY(mutex) = 0;
  bool sync_failed GUARDED_BY(mutex) = false;
  std::uint64_t changes GUARDED_BY(mutex) = 0;
  std::uint64_t fail_change_at GUARDED_BY(mutex) = 0;
  bool change_failed GUARDED_BY(mutex) = false;
  std::set<std::string> locks GUARDED_BY(mutex);
};

/// SQLite's door.
class SimDisk::Vfs {
 public:
  explicit Vfs(std::shared_ptr<State> state);
  ~Vfs();
  const char* name() const;

 private:
  struct Methods;
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace coffer::testing
