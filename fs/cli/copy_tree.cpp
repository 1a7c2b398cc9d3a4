#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <map>
#include <optional>

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
    COFFER_TRY(const std::optional<Node> there, look_for(to_path));
    if (there && S_ISDIR(there->mode)) {
      return Error{Fault::answer, EISDIR, to_path + " is a folder and in the way of a file: move it away first"};
    }
    if (what.links > 1) {
      const auto [known, is_new] = first_names_.emplace(what.identity, to_path);
      if (!is_new) return hard_link(known->second, to_path, there);
    }
    COFFER_DO(replace(to_path, [&](const std::string& temporary) -> Result<void> {
      COFFER_DO(content(from_path, temporary, what));
      return finish(from_path, temporary, what);
    }));
    ++copied.files;
    progress_(copied);
    return {};
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

  Result<std::optional<Node>> look_for(const std::string& path) {
    Result<Node> there = to_.look(path);
    if (there) return std::optional(*there);
    if (there.error().code == ENOENT) return std::optional<Node>();
    return std::move(there).error();
  }

  // What is at `to_path` stays until what replaces it is whole.
  Result<void> replace(const std::string& to_path, const std::function<Result<void>(const std::string&)>& make) {
    const std::string temporary = to_path.substr(0, to_path.rfind('/') + 1) + temporary_name_;
    COFFER_TRY(const std::optional<Node> left, look_for(temporary));  // By a copy that was killed.
    if (left) COFFER_DO(to_.remove(temporary));
    Result<void> made = make(temporary);
    if (made) made = to_.rename(temporary, to_path);
    if (made) return {};
    (void)to_.remove(temporary);
    return std::move(made).error().in(to_path);
  }

  Result<void> hard_link(const std::string& first, const std::string& to_path, const std::optional<Node>& there) {
    COFFER_TRY(const Node linked, to_.look(first));
    if (there && there->identity == linked.identity)
      return {};  // rename(2) between two names of one file does nothing.
    return replace(to_path, [&](const std::string& temporary) { return to_.make_hard_link(first, temporary); });
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
  const std::string temporary_name_ = ".coffer-copy-" + std::to_string(::getpid());
};

}  // namespace

Result<Copied> copy_tree(Side& from, const std::string& from_path, Side& to, const std::string& to_path,
                         const std::string& priority, const std::function<void(const Copied&)>& progress) {
  Copy copy(from, to, priority, progress);
  COFFER_DO(copy.node(from_path, to_path));
  return copy.copied;
}

}  // namespace coffer::cli
