#include <sys/stat.h>

#include <cerrno>
#include <map>

#include "fs/cli/side.h"

namespace coffer::cli {

namespace {

class Copy {
 public:
  Copy(Side& from, Side& to, const std::string& priority, const std::function<void(const Copied&)>& progress)
      : from_(from), to_(to), priority_(priority), progress_(progress) {}

  Result<void> node(const std::string& from_path, const std::string& to_path) {
    COFFER_TRY(const Node what, from_.look(from_path));
    if (S_ISDIR(what.mode)) return folder(from_path, to_path, what);
    COFFER_DO(make_way(to_path));
    if (what.links > 1) {
      const auto [known, is_new] = first_names_.emplace(what.identity, to_path);
      if (!is_new) return to_.make_hard_link(known->second, to_path);
    }
    COFFER_DO(content(from_path, to_path, what));
    ++copied.files;
    progress_(copied);
    return finish(from_path, to_path, what);
  }

  Copied copied;

 private:
  Result<void> folder(const std::string& from_path, const std::string& to_path, const Node& what) {
    COFFER_DO(to_.make_folder(to_path));
    COFFER_TRY(const std::vector<std::string> names, from_.names(from_path));
    for (const std::string& name : names) {
      COFFER_DO(node((from_path == "/" ? "" : from_path) + "/" + name, (to_path == "/" ? "" : to_path) + "/" + name));
    }
    return finish(from_path, to_path, what);  // Its times last: each name in it changed them.
  }

  Result<void> make_way(const std::string& to_path) {
    const Result<Node> there = to_.look(to_path);
    if (!there) return there.error().code == ENOENT ? Result<void>{} : there.error();
    if (S_ISDIR(there->mode)) {
      return Error{Fault::answer, EISDIR, to_path + " is a folder and in the way of a file: move it away first"};
    }
    return to_.remove(to_path);
  }

  Result<void> content(const std::string& from_path, const std::string& to_path, const Node& what) {
    if (S_ISLNK(what.mode)) {
      COFFER_TRY(const std::string target, from_.link_target(from_path));
      return to_.make_symlink(target, to_path);
    }
    if (!S_ISREG(what.mode)) return to_.make_special(to_path, what);
    return to_.make_file(to_path, [&](const Sink& sink) -> Result<void> {
      if (!priority_.empty()) COFFER_DO(to_.set_xattr(to_path, "user.coffer.priority", priority_));
      return from_.read(from_path, [&](ByteView bytes) -> Result<void> {
        COFFER_DO(sink(bytes));
        copied.bytes += bytes.size();
        progress_(copied);
        return {};
      });
    });
  }

  Result<void> finish(const std::string& from_path, const std::string& to_path, const Node& what) {
    COFFER_TRY(const auto xattrs, from_.xattrs(from_path));
    for (const auto& [name, value] : xattrs) COFFER_DO(to_.set_xattr(to_path, name, value));
    return to_.set_attributes(to_path, what);
  }

  Side& from_;
  Side& to_;
  const std::string& priority_;
  const std::function<void(const Copied&)>& progress_;
  std::map<std::pair<std::uint64_t, std::uint64_t>, std::string> first_names_;
};

}  // namespace

Result<Copied> copy_tree(Side& from, const std::string& from_path, Side& to, const std::string& to_path,
                         const std::string& priority, const std::function<void(const Copied&)>& progress) {
  Copy copy(from, to, priority, progress);
  COFFER_DO(copy.node(from_path, to_path));
  return copy.copied;
}

}  // namespace coffer::cli
