// One side of a copy: this machine's files (a mounted vault is one of those), or a vault that is not mounted.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "common/base/bytes.h"
#include "common/base/result.h"
#include "fs/files/file_system.h"

namespace coffer::cli {

/// What a copy keeps.
struct Node {
  std::uint32_t mode = 0;  ///< With the type.
  std::uint32_t uid = 0, gid = 0;
  std::uint64_t rdev = 0, bytes = 0;
  std::int64_t atime_ns = 0, mtime_ns = 0;
  std::uint64_t links = 1;
  std::pair<std::uint64_t, std::uint64_t> identity;  ///< The same for all names of one file.
};

/// Takes content from its first byte to its last.
using Sink = std::function<Result<void>(ByteView)>;

/// Paths are absolute. Not thread-safe.
class Side {
 public:
  virtual ~Side() = default;

  /// Does not follow a symbolic link. answer(ENOENT) where there is nothing.
  virtual Result<Node> look(const std::string& path) = 0;
  /// Sorted, without "." and "..".
  virtual Result<std::vector<std::string>> names(const std::string& folder) = 0;
  virtual Result<std::string> link_target(const std::string& path) = 0;
  virtual Result<void> read(const std::string& path, const Sink& sink) = 0;
  virtual Result<std::vector<std::pair<std::string, std::string>>> xattrs(const std::string& path) = 0;

  /// One that is there stays; answer(ENOTDIR) where something else is in the way.
  virtual Result<void> make_folder(const std::string& path) = 0;
  virtual Result<void> make_symlink(const std::string& target, const std::string& path) = 0;
  virtual Result<void> make_hard_link(const std::string& old_path, const std::string& path) = 0;
  /// A fifo, socket or device.
  virtual Result<void> make_special(const std::string& path, const Node& node) = 0;
  /// A new file whose content `write` hands to the sink.
  virtual Result<void> make_file(const std::string& path, const std::function<Result<void>(const Sink&)>& write) = 0;
  /// A name that is no folder.
  virtual Result<void> remove(const std::string& path) = 0;
  /// Replaces a name that is no folder, in one step. Both lie in the same folder.
  virtual Result<void> rename(const std::string& path, const std::string& new_path) = 0;
  /// Owner (where this user may set it; else without setuid and setgid), mode and times.
  virtual Result<void> set_attributes(const std::string& path, const Node& node) = 0;
  virtual Result<void> set_xattr(const std::string& path, const std::string& name, const std::string& value) = 0;
};

/// Names below `base` are never reached through a symbolic link, `base` itself may be; where it is empty, paths are
/// taken as they are. Whoever writes gives one.
std::unique_ptr<Side> local_side(std::string base = "");
/// Keeps a reference.
std::unique_ptr<Side> vault_side(files::FileSystem& file_system);

struct Copied {
  std::uint64_t files = 0;
  std::uint64_t bytes = 0;
};

/// Copies `from_path`, with all below a folder, to be `to_path`: content, modes, owners, times, symbolic and hard
/// links, xattrs. Folders that are there are merged, other names replaced by whole copies only. `progress` hears of
/// every part. `priority` is what new files in a vault get as user.coffer.priority; none if empty.
Result<Copied> copy_tree(Side& from, const std::string& from_path, Side& to, const std::string& to_path,
                         const std::string& priority, const std::function<void(const Copied&)>& progress);

}  // namespace coffer::cli
