// What a folder tree may hold after a crash: its names, and the files that they mean.
//
//     oracle.will_change({{"a/1", nullptr}, {"b/2", file}});   // rename("a/1", "b/2")
//     ... rename(2) ...
//     oracle.changed();
//
// One call at a time is under way: after a crash its change is there as a whole, or not at all.
#pragma once

#include <sys/types.h>

#include <map>
#include <string>
#include <utility>
#include <vector>

#include "tests/testing/file_history.h"

namespace coffer::testing {

/// A file of a tree as it was read.
struct FoundFile {
  std::string content;
  ino_t inode = 0;
  nlink_t links = 0;
};
/// By path below the folder that was read.
using FoundTree = std::map<std::string, FoundFile>;

/// Every regular file below `folder`. Where that fails `why` says it, and the tree is incomplete.
FoundTree read_tree(const std::string& folder, std::string& why);

/// Not thread-safe.
class FolderOracle {
 public:
  /// Names and what they shall mean; no file: nothing.
  using Change = std::vector<std::pair<std::string, File>>;

  const std::map<std::string, File>& names() const { return names_; }
  /// Paths that mean `file` now.
  std::vector<std::string> names_of(const File& file) const;

  void will_change(Change change);
  void changed();
  /// fsync(2) of the file, or of the folder with that path, has answered.
  void committed(const File& file);
  /// A write(2) with O_SYNC has answered.
  void written_through(const File& file);
  void committed_in(const std::string& folder);
  /// `coffer sync` has answered, with nothing under way.
  void all_committed();

  /// Why the client cannot show `found` after a restart; empty if it can, and `found` is what is true from now on.
  std::string settle(const FoundTree& found);
  /// The same for another client, which sees what the server has. Settles nothing.
  std::string why_not_on_server(const FoundTree& found) const;

 private:
  /// What a name may mean on the server: the file with at least so many of its changes, or nothing.
  struct Meaning {
    File file;
    std::uint64_t at_least;
  };

  void names_committed(const File& file);
  std::string why_no_meaning(const std::vector<Meaning>& meanings, const FoundTree& found,
                             const std::string& name) const;

  std::map<std::string, File> names_;
  Change under_way_;
  std::map<std::string, std::vector<Meaning>> meanings_;  // Since the last commit of the name.
};

}  // namespace coffer::testing
