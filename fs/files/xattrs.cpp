// Extended attributes: the tree's, and those that Coffer answers itself.
#include <sys/stat.h>

#include <cerrno>
#include <utility>

#include "common/base/text.h"
#include "common/crypto/hash.h"
#include "fs/files/state.h"
#include "fs/files/virtual_files.h"

namespace coffer::files {

namespace {

constexpr std::string_view kOwnPrefix = "user.coffer.";
constexpr std::size_t kHashStepBytes = 1u << 20;

/// Kept in the tree like any other, where fs/commit looks for it, but not listed: a copy of a file is not urgent
/// because the file is.
bool is_priority(ByteView value) {
  const std::string_view text = as_text(value);
  return text == "high" || text == "normal" || text == "low";
}

/// Those that begin with user.coffer. are ours; of these only the priority is for users to set.
Result<void> check_settable(std::string_view name) {
  return !name.starts_with(kOwnPrefix) || name == kPriorityXattr ? Result<void>() : answer(EPERM);
}

}  // namespace

Result<std::string> FileSystem::State::sha256(InodeId inode, const std::stop_token& stop) {
  COFFER_TRY(const Attributes now, committer.attributes(inode));
  if (!S_ISREG(now.mode)) return answer(ENODATA);
  crypto::Sha256 hash;
  Bytes step(kHashStepBytes);
  for (std::uint64_t at = 0; true;) {
    COFFER_TRY(const Attributes current, committer.attributes(inode));
    COFFER_TRY(const std::size_t count, read(current, at, step, stop));
    if (count == 0) break;
    hash.update(ByteView(step).first(count));
    at += count;
  }
  return base::to_hex(hash.finish());
}

Result<std::string> FileSystem::xattr(InodeId inode, std::string_view name, std::stop_token stop) {
  if (is_virtual(inode)) return answer(ENODATA);
  if (name == kLevelXattr) {
    if (state_->is_unflushed(inode)) return std::string(level_name(Level::memory));
    // What cannot be sent as it is has none: the tree does not know that its chunk is gone.
    if (std::optional<Error> failure = state_->open_files.upload_failure(inode)) return *std::move(failure);
    COFFER_TRY(const Level level, state_->tree.level(inode));
    return std::string(level_name(level));
  }
  if (name == kSha256Xattr) return state_->sha256(inode, stop);
  return state_->tree.xattr(inode, name);
}

Result<std::vector<std::string>> FileSystem::xattrs(InodeId inode) {
  if (is_virtual(inode)) return std::vector<std::string>();
  COFFER_TRY(std::vector<std::string> names, state_->tree.xattrs(inode));
  std::erase_if(names, [](const std::string& name) { return name.starts_with(kOwnPrefix); });
  return names;
}

Result<void> FileSystem::set_xattr(InodeId inode, std::string_view name, ByteView value, meta::XattrMode mode) {
  COFFER_DO(state_->check_change(inode));
  COFFER_DO(check_settable(name));
  if (name == kPriorityXattr && !is_priority(value)) return answer(EINVAL);
  return state_->tree.set_xattr(inode, name, value, mode);
}

Result<void> FileSystem::remove_xattr(InodeId inode, std::string_view name) {
  COFFER_DO(state_->check_change(inode));
  COFFER_DO(check_settable(name));
  return state_->tree.remove_xattr(inode, name);
}

}  // namespace coffer::files
