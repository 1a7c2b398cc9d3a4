// A program that works on files below one folder of a mount, and keeps an oracle of what it asked and what was
// answered.
//
// It creates, writes, overwrites, appends, truncates, maps, renames, links, unlinks, syncs and closes as a seed says,
// one call at a time, until it is told to stop or a call fails: then that call is the one under way.
#pragma once

#include <atomic>
#include <functional>
#include <string>
#include <thread>
#include <vector>

#include "tests/testing/folder_oracle.h"
#include "tests/testing/seeded_random.h"

namespace coffer::testing {

class BusyWriter {
 public:
  /// Makes the folders that it works in, below `folder`, which must be there and empty.
  explicit BusyWriter(std::string folder);
  ~BusyWriter() { abandon(); }
  BusyWriter(const BusyWriter&) = delete;
  BusyWriter& operator=(const BusyWriter&) = delete;

  const std::string& folder() const { return folder_; }
  FolderOracle& oracle() { return oracle_; }

  void start(std::uint64_t seed);
  /// After the call that is under way it ends, and closes what it has open.
  void stop();
  /// The mount is gone: the call under way fails, and what is open is closed without a promise.
  void abandon();

  /// The call that failed since start(), and how; empty if none did. After stop() or abandon().
  const std::string& failure() const { return failure_; }
  /// Whether it failed as calls do when the process behind a mount dies, or did not fail.
  bool failed_by_the_kill() const;
  /// What it did since start(), one call a line, the last ones last.
  std::string trace() const;

 private:
  struct Open {
    int fd = -1;
    File file;
    bool appends = false;
    bool syncs = false;  // O_SYNC
  };

  void run();
  void step();
  void edit();
  void work_on_open();
  void save_over();
  void map();
  void rename_any();
  void link_any();
  void unlink_any();
  void truncate_any();
  void sync_any();
  void sync_folder();

  Open open_new();
  Open open_any(int flags);
  void change(Open& open);
  void write(Open& open);
  void write_to_map(const File& file, char* map);
  void resize(Open& open);
  void sync(Open& open);
  void close(Open& open);
  void rename(const std::string& from, const std::string& to);

  bool answered(long result, const std::string& call);
  bool chance(unsigned percent) { return random_.below(100) < percent; }
  std::string path(const std::string& name) const { return folder_ + "/" + name; }
  std::string any_name();   // Of those that are; empty where none is.
  std::string free_name();  // Of those that may be and are not; empty where all are.
  std::string any_bytes();

  const std::string folder_;
  FolderOracle oracle_;
  SeededRandom random_{0};
  std::vector<Open> open_;
  std::vector<std::string> trace_;
  std::string failure_;
  int failure_code_ = 0;
  std::thread thread_;
  std::atomic<bool> stopping_{false};
};

}  // namespace coffer::testing
