// A tree and the server's, attached to one connection as `main` and `server`. For fs/meta only.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "common/db/database.h"
#include "fs/meta/types.h"

namespace coffer::meta {

struct PairOfTrees {
  static Result<PairOfTrees> open(const std::string& tree, const std::string& server_tree, bool to_change,
                                  os::Disk& disk);
  explicit PairOfTrees(db::Database database) : db(std::move(database)) {}

  /// The first column of all rows.
  Result<std::vector<std::int64_t>> numbers(const char* sql);
  Result<Head> head(const char* sql);
  /// Inodes of main that have a name and whose extents name other bytes than in server; ascending.
  Result<std::vector<std::int64_t>> changed_content();
  /// The same, of attributes, xattrs or content; ascending.
  Result<std::vector<std::int64_t>> changed_inodes();
  Result<std::string> path_of(std::int64_t parent, std::string name);
  /// All paths of the inodes, sorted, the first `paths_max`; `count` grows by all of them.
  Result<std::vector<std::string>> paths_of(const std::vector<std::int64_t>& inodes, std::size_t paths_max,
                                            std::uint64_t& count);
  Result<std::optional<std::uint64_t>> last_common(const Head& seen, const Head& server);

  db::Database db;
};

}  // namespace coffer::meta
