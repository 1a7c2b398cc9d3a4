// rename(2) and renameat2(2).
#include <cerrno>

#include "fs/meta/read.h"
#include "fs/meta/store.h"

namespace coffer::meta {

Result<bool> Store::is_within(InodeId folder, InodeId ancestor) {
  for (int depth = 0; depth < read::kDepthMax; ++depth) {
    if (folder == ancestor) return true;
    if (folder == kRootInode) return false;
    COFFER_TRY(folder, read::parent_of(connection_, folder));
  }
  return Error{Fault::corrupt, 0, "folders form a circle"};
}

Result<void> Store::rename(InodeId parent, std::string_view name, InodeId new_parent, std::string_view new_name,
                           RenameMode mode) {
  COFFER_DO(read::check_name(name));
  COFFER_DO(read::check_name(new_name));
  COFFER_DO(living_folder(parent));
  COFFER_DO(living_folder(new_parent));
  const Name from{parent, name};
  const Name to{new_parent, new_name};
  COFFER_TRY(const InodeId moved, read::meaning(connection_, parent, name));
  COFFER_TRY(const InodeId met, read::meaning(connection_, new_parent, new_name));
  if (moved == InodeId()) return answer(ENOENT);
  if (mode == RenameMode::exchange && met == InodeId()) return answer(ENOENT);
  if (mode == RenameMode::no_replace && met != InodeId()) return answer(EEXIST);

  COFFER_TRY(Attributes x, read::attributes(connection_, moved));
  if (read::is_folder(x) && parent != new_parent) {
    COFFER_TRY(const bool into_itself, is_within(new_parent, moved));
    if (into_itself) return answer(EINVAL);
  }
  if (moved == met) return {};
  if (met == InodeId()) return replace(from, x, to, std::nullopt);

  COFFER_TRY(Attributes y, read::attributes(connection_, met));
  if (mode == RenameMode::exchange) {
    if (read::is_folder(y) && parent != new_parent) {
      COFFER_TRY(const bool into_itself, is_within(parent, met));
      if (into_itself) return answer(EINVAL);
    }
    return exchange(from, x, to, y);
  }
  if (read::is_folder(y) && !read::is_folder(x)) return answer(EISDIR);
  if (read::is_folder(x) && !read::is_folder(y)) return answer(ENOTDIR);
  COFFER_TRY(const bool is_filled, connection_.any("SELECT 1 FROM name WHERE parent = ? LIMIT 1", met));
  if (is_filled) return answer(ENOTEMPTY);
  return replace(from, x, to, y);
}

Result<void> Store::replace(const Name& from, Attributes& x, const Name& to, std::optional<Attributes> y) {
  const std::int64_t now = now_ns();
  const bool is_folder = read::is_folder(x);
  const bool moves = is_folder && from.parent != to.parent;
  const InodeId met = y ? y->inode : InodeId();

  COFFER_TRY(const std::uint64_t from_group, group_of(from));
  COFFER_TRY(const std::uint64_t to_group, group_of(to));
  COFFER_TRY(std::uint64_t group, joined(from_group, to_group));
  if (moves) {
    COFFER_TRY(const std::uint64_t others, moves_group());
    COFFER_TRY(group, joined(group, others));
  }

  x.ctime_ns = now;
  COFFER_DO(put_inode(x));
  COFFER_DO(owe(x));
  COFFER_DO(set_name(from, x.inode, InodeId()));
  COFFER_DO(set_name(to, met, x.inode));
  COFFER_DO(owe_name(from, x.inode, InodeId(), group, moves));
  COFFER_DO(owe_name(to, met, x.inode, group, moves));
  if (y) COFFER_DO(lose_name(*y, to, group, now));

  COFFER_TRY(Attributes old_folder, read::attributes(connection_, from.parent));
  if (is_folder) --old_folder.links;
  COFFER_DO(put_folder(old_folder, now));
  COFFER_TRY(Attributes new_folder, read::attributes(connection_, to.parent));
  if (is_folder && !y) ++new_folder.links;  // A replaced one was counted there already.
  return put_folder(new_folder, now);
}

Result<void> Store::exchange(const Name& a, Attributes& x, const Name& b, Attributes& y) {
  const std::int64_t now = now_ns();
  const bool moves = a.parent != b.parent && (read::is_folder(x) || read::is_folder(y));

  COFFER_TRY(const std::uint64_t a_group, group_of(a));
  COFFER_TRY(const std::uint64_t b_group, group_of(b));
  COFFER_TRY(std::uint64_t group, joined(a_group, b_group));
  if (moves) {
    COFFER_TRY(const std::uint64_t others, moves_group());
    COFFER_TRY(group, joined(group, others));
  }

  for (Attributes* inode : {&x, &y}) {
    inode->ctime_ns = now;
    COFFER_DO(put_inode(*inode));
    COFFER_DO(owe(*inode));
  }
  COFFER_DO(set_name(a, x.inode, y.inode));
  COFFER_DO(set_name(b, y.inode, x.inode));
  COFFER_DO(owe_name(a, x.inode, y.inode, group, moves));
  COFFER_DO(owe_name(b, y.inode, x.inode, group, moves));

  COFFER_TRY(Attributes a_folder, read::attributes(connection_, a.parent));
  if (read::is_folder(x)) --a_folder.links;
  if (read::is_folder(y)) ++a_folder.links;
  COFFER_DO(put_folder(a_folder, now));
  COFFER_TRY(Attributes b_folder, read::attributes(connection_, b.parent));
  if (read::is_folder(x)) ++b_folder.links;
  if (read::is_folder(y)) --b_folder.links;
  return put_folder(b_folder, now);
}

}  // namespace coffer::meta
