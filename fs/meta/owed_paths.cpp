// What is owed, path by path, for a person.
#include <algorithm>
#include <cerrno>
#include <map>
#include <tuple>
#include <unordered_map>

#include "fs/meta/read.h"
#include "fs/meta/store.h"

namespace coffer::meta {
namespace {

class OwedPaths {
 public:
  explicit OwedPaths(Connection& connection) : connection_(connection) {}

  Result<std::vector<OwedPath>> list() {
    COFFER_DO(add_inodes());
    COFFER_DO(add_names());
    std::vector<OwedPath> all;
    for (auto& [path, owed] : paths_) all.push_back(std::move(owed));
    std::ranges::sort(all, {}, [](const OwedPath& owed) { return std::tie(owed.since_ns, owed.path); });
    return all;
  }

 private:
  Result<std::map<InodeId, std::uint64_t>> owed_bytes() {
    std::map<InodeId, std::uint64_t> bytes;
    InodeId inode;
    std::uint64_t counted = 0;  // Ranges in flight may lie over others.
    COFFER_DO(for_each(connection_.query("SELECT r.ino, r.begin, min(r.end, i.bytes) FROM owed_range r "
                                         "JOIN inode i ON i.ino = r.ino ORDER BY r.ino, r.begin"),
                       [&](const Rows& row) {
                         if (InodeId(row.u64(0)) != inode) counted = 0;
                         inode = InodeId(row.u64(0));
                         const std::uint64_t begin = std::max(row.u64(1), counted);
                         if (begin < row.u64(2)) bytes[inode] += row.u64(2) - begin;
                         counted = std::max(counted, row.u64(2));
                       }));
    return bytes;
  }

  Result<void> add_inodes() {
    COFFER_TRY(const auto bytes, owed_bytes());
    std::vector<OwedPath> inodes;
    COFFER_DO(for_each(connection_.query("SELECT o.ino, o.since, i.mode, EXISTS (SELECT 1 FROM owed_range r WHERE "
                                         "r.ino = o.ino) FROM owed_inode o JOIN inode i ON i.ino = o.ino "
                                         "WHERE o.deleted = 0"),
                       [&](const Rows& row) {
                         OwedPath& owed = inodes.emplace_back();
                         owed.inode = InodeId(row.u64(0));
                         owed.since_ns = row.integer(1);
                         owed.mode = row.u32(2);
                         owed.content = row.integer(3) != 0;
                         owed.attributes = true;
                       }));
    for (OwedPath& owed : inodes) {
      Result<std::string> path = read::path_of(connection_, owed.inode);
      if (!path) continue;  // Open, and without a name: nothing of it is ever sent.
      owed.path = "/" + *path;
      if (const auto found = bytes.find(owed.inode); found != bytes.end()) owed.bytes = found->second;
      paths_.emplace(owed.path, owed);
    }
    return {};
  }

  Result<void> add_names() {
    struct Name {
      InodeId parent;
      std::string name;
      std::int64_t since_ns;
      InodeId now;
    };
    std::vector<Name> names;
    COFFER_DO(for_each(connection_.query("SELECT o.parent, o.name, o.since, coalesce(n.ino, 0) FROM owed_name o "
                                         "LEFT JOIN name n ON n.parent = o.parent AND n.name = o.name"),
                       [&](const Rows& row) {
                         names.push_back({InodeId(row.u64(0)), row.text(1), row.integer(2), InodeId(row.u64(3))});
                       }));
    for (const Name& name : names) {
      COFFER_TRY(const std::optional<std::string> folder, folder_path(name.parent));
      if (!folder) continue;  // The folder is removed too, and says so itself.
      const std::string path = *folder + "/" + name.name;
      const auto [at, is_new] = paths_.try_emplace(path);
      OwedPath& owed = at->second;
      owed.name = true;
      owed.since_ns = is_new ? name.since_ns : std::min(owed.since_ns, name.since_ns);
      if (!is_new) continue;
      owed.path = path;
      owed.inode = name.now;
      owed.removed = name.now == InodeId();
      if (owed.removed) continue;
      COFFER_TRY(const Attributes row, read::attributes(connection_, name.now));
      owed.mode = row.mode;
    }
    return {};
  }

  /// "" for the root; nullopt where it has no name any more.
  Result<std::optional<std::string>> folder_path(InodeId folder) {
    if (folder == kRootInode) return std::optional(std::string());
    const auto known = folders_.find(folder);
    if (known != folders_.end()) return known->second;
    std::optional<std::string> path;
    Result<std::string> found = read::path_of(connection_, folder);
    if (found) path = "/" + *found;
    if (!found && found.error().fault != Fault::answer) return std::move(found).error();
    folders_.emplace(folder, path);
    return path;
  }

  Connection& connection_;
  std::map<std::string, OwedPath> paths_;
  std::unordered_map<InodeId, std::optional<std::string>> folders_;
};

}  // namespace

Result<std::vector<OwedPath>> Store::owed_paths() { return OwedPaths(connection_).list(); }

Result<std::vector<InodeId>> Store::users_of(ChunkKey chunk) {
  std::vector<InodeId> users;
  COFFER_DO(for_each(connection_.query("SELECT DISTINCT ino FROM extent WHERE chunk = ?", chunk),
                     [&](const Rows& row) { users.emplace_back(row.u64(0)); }));
  return users;
}

}  // namespace coffer::meta
