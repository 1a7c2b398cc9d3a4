#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>

#include "fs/cli/side.h"

namespace coffer::cli {

namespace {

constexpr std::size_t kPartBytes = 1u << 20;
constexpr std::size_t kEntriesAtOnce = 512;

meta::NewInode of_mode(std::uint32_t mode) {
  meta::NewInode what;
  what.mode = mode;
  return what;
}

class VaultSide : public Side {
 public:
  explicit VaultSide(files::FileSystem& files) : files_(files) {}

  Result<Node> look(const std::string& path) override {
    COFFER_TRY(const InodeId inode, find(path));
    Result<Attributes> found = files_.attributes(inode);
    if (!found) return std::move(found).error().in(path);
    Node node;
    node.mode = found->mode;
    node.uid = found->uid;
    node.gid = found->gid;
    node.rdev = found->rdev;
    node.bytes = found->bytes;
    node.atime_ns = found->atime_ns;
    node.mtime_ns = found->mtime_ns;
    node.links = found->links;
    node.identity = {0, inode.value()};
    return node;
  }

  Result<std::vector<std::string>> names(const std::string& folder) override {
    COFFER_TRY(const InodeId inode, find(folder));
    std::vector<std::string> all;
    for (std::uint64_t after = 0;;) {
      Result<std::vector<files::Entry>> some = files_.entries(inode, after, kEntriesAtOnce);
      if (!some) return std::move(some).error().in(folder);
      if (some->empty()) break;
      after = some->back().cookie;
      for (files::Entry& entry : *some) all.push_back(std::move(entry.name));
    }
    std::ranges::sort(all);
    return all;
  }

  Result<std::string> link_target(const std::string& path) override {
    COFFER_TRY(const InodeId inode, find(path));
    return files_.symlink_target(inode);
  }

  Result<void> read(const std::string& path, const Sink& sink) override {
    COFFER_TRY(const InodeId inode, find(path));
    Result<files::HandleId> handle = files_.open(inode, O_RDONLY);
    if (!handle) return std::move(handle).error().in(path);
    const Result<void> result = read_all(*handle, sink);
    files_.release(*handle);
    if (!result) return std::move(Error(result.error())).in(path);
    return {};
  }

  Result<std::vector<std::pair<std::string, std::string>>> xattrs(const std::string& path) override {
    COFFER_TRY(const InodeId inode, find(path));
    COFFER_TRY(const std::vector<std::string> names, files_.xattrs(inode));
    std::vector<std::pair<std::string, std::string>> all;
    for (const std::string& name : names) {
      COFFER_TRY(std::string value, files_.xattr(inode, name));
      all.emplace_back(name, std::move(value));
    }
    return all;
  }

  Result<void> make_folder(const std::string& path) override {
    Result<Attributes> made = create(path, of_mode(S_IFDIR | 0700));
    if (!made && made.error().code != EEXIST) return std::move(made).error();
    return {};
  }
  Result<void> make_symlink(const std::string& target, const std::string& path) override {
    meta::NewInode what = of_mode(S_IFLNK | 0777);
    what.symlink_target = target;
    COFFER_TRY([[maybe_unused]] const Attributes made, create(path, what));
    return {};
  }
  Result<void> make_hard_link(const std::string& old_path, const std::string& path) override {
    COFFER_TRY(const InodeId inode, find(old_path));
    COFFER_TRY(const InodeId folder, find(parent(path)));
    COFFER_TRY([[maybe_unused]] const Attributes made, files_.link(inode, folder, name(path)));
    return {};
  }
  Result<void> make_special(const std::string& path, const Node& node) override {
    meta::NewInode what = of_mode(node.mode);
    what.rdev = node.rdev;
    COFFER_TRY([[maybe_unused]] const Attributes made, create(path, what));
    return {};
  }

  Result<void> make_file(const std::string& path, const std::function<Result<void>(const Sink&)>& write) override {
    COFFER_TRY(const InodeId folder, find(parent(path)));
    Result<files::Opened> opened = files_.create_open(folder, name(path), of_mode(S_IFREG | 0600), O_WRONLY);
    if (!opened) return std::move(opened).error().in(path);
    std::uint64_t at = 0;
    Result<void> result = write([&](ByteView bytes) -> Result<void> {
      COFFER_DO(files_.write(opened->handle, at, bytes));
      at += bytes.size();
      return {};
    });
    if (Result<void> flushed = files_.flush(opened->handle); result) result = std::move(flushed);
    files_.release(opened->handle);
    if (!result) return std::move(result).error().in(path);
    return {};
  }

  Result<void> remove(const std::string& path) override {
    COFFER_TRY(const InodeId folder, find(parent(path)));
    return files_.unlink(folder, name(path));
  }

  Result<void> rename(const std::string& path, const std::string& new_path) override {
    COFFER_TRY(const InodeId folder, find(parent(path)));
    return files_.rename(folder, name(path), folder, name(new_path), meta::RenameMode::replace);
  }

  Result<void> set_attributes(const std::string& path, const Node& node) override {
    COFFER_TRY(const InodeId inode, find(path));
    meta::AttributeChange change;
    change.mode = node.mode & 07777;
    change.uid = node.uid;
    change.gid = node.gid;
    change.atime_ns = node.atime_ns;
    change.mtime_ns = node.mtime_ns;
    COFFER_TRY([[maybe_unused]] const Attributes changed, files_.change(inode, change));
    return {};
  }

  Result<void> set_xattr(const std::string& path, const std::string& key, const std::string& value) override {
    COFFER_TRY(const InodeId inode, find(path));
    return files_.set_xattr(inode, key, as_bytes(value), meta::XattrMode::either);
  }

 private:
  static std::string parent(const std::string& path) { return std::filesystem::path(path).parent_path().string(); }
  static std::string name(const std::string& path) { return std::filesystem::path(path).filename().string(); }

  Result<InodeId> find(const std::string& path) {
    Result<InodeId> inode = files_.resolve(path);
    if (!inode) return std::move(inode).error().in(path);
    return inode;
  }
  Result<Attributes> create(const std::string& path, const meta::NewInode& what) {
    COFFER_TRY(const InodeId folder, find(parent(path)));
    return files_.create(folder, name(path), what);
  }
  Result<void> read_all(files::HandleId handle, const Sink& sink) {
    Bytes part(kPartBytes);
    for (std::uint64_t at = 0;;) {
      COFFER_TRY(const std::size_t got, files_.read(handle, at, part));
      if (got == 0) return {};
      COFFER_DO(sink(ByteView(part).first(got)));
      at += got;
    }
  }

  files::FileSystem& files_;
};

}  // namespace

std::unique_ptr<Side> vault_side(files::FileSystem& file_system) { return std::make_unique<VaultSide>(file_system); }

}  // namespace coffer::cli
