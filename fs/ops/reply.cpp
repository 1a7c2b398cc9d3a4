#include "fs/ops/reply.h"

#include <string>

#include "common/base/log.h"
#include "fs/files/virtual_files.h"
#include "fs/ops/context.h"
#include "fs/ops/errno.h"

namespace coffer::ops {

namespace {

constexpr std::uint64_t kStatBlockBytes = 512;  // POSIX: the unit of st_blocks.
constexpr std::int64_t kNanosecondsPerSecond = 1'000'000'000;

timespec timespec_of(std::int64_t ns) {
  std::int64_t seconds = ns / kNanosecondsPerSecond;
  std::int64_t rest = ns % kNanosecondsPerSecond;
  if (rest < 0) {  // Before 1970: tv_nsec counts forward from the second before.
    rest += kNanosecondsPerSecond;
    --seconds;
  }
  return {.tv_sec = seconds, .tv_nsec = rest};
}

fuse_entry_param entry_of(const Context& context, const Attributes& attributes) {
  const double seconds = context.seconds_for(attributes.inode);
  fuse_entry_param entry{};
  entry.ino = attributes.inode.value();
  entry.attr = stat_of(context, attributes);
  entry.attr_timeout = seconds;
  entry.entry_timeout = seconds;
  return entry;
}

void interrupted(fuse_req_t, void* source) { static_cast<std::stop_source*>(source)->request_stop(); }

}  // namespace

struct stat stat_of(const Context& context, const Attributes& attributes) {
  struct stat st {};
  st.st_ino = attributes.inode.value();
  st.st_mode = attributes.mode;
  const bool has_umask = context.shown.umask && !files::is_virtual(attributes.inode);  // Those are their owner's alone.
  if (has_umask) st.st_mode = (attributes.mode & S_IFMT) | (0777u & ~*context.shown.umask);
  st.st_nlink = attributes.links;
  st.st_uid = context.shown.uid.value_or(attributes.uid);
  st.st_gid = context.shown.gid.value_or(attributes.gid);
  st.st_rdev = attributes.rdev;
  st.st_size = static_cast<off_t>(attributes.bytes);
  st.st_blocks = static_cast<blkcnt_t>((attributes.allocated_bytes + kStatBlockBytes - 1) / kStatBlockBytes);
  st.st_blksize = 4096;
  st.st_atim = timespec_of(attributes.atime_ns);
  st.st_mtim = timespec_of(attributes.mtime_ns);
  st.st_ctim = timespec_of(attributes.ctime_ns);
  return st;
}

Context& context(fuse_req_t req) { return *static_cast<Context*>(fuse_req_userdata(req)); }

Reply::~Reply() {
  if (req_ == nullptr) return;
  log::error("fuse_request_dropped");
  error({Fault::local_io, 0, "request dropped"});
}

fuse_req_t Reply::take() {
  COFFER_CHECK(req_ != nullptr);
  // libfuse calls interrupted() under the request's lock, which this takes: afterwards the source is ours alone.
  if (interruption_) fuse_req_interrupt_func(req_, nullptr, nullptr);
  return std::exchange(req_, nullptr);
}

std::stop_token Reply::stop_token() {
  if (!interruption_) {
    interruption_ = std::make_unique<Interruption>(context(req_).ending.get_token());
    fuse_req_interrupt_func(req_, interrupted, &interruption_->source);
  }
  return interruption_->source.get_token();
}

void Reply::error(const Error& error) {
  if (error.fault != Fault::answer && error.fault != Fault::stopped) {
    log::warn("request_failed", {{"fault", fault_name(error.fault)}, {"why", error.what}});
  }
  fuse_reply_err(take(), errno_for(error));
}

void Reply::done() { fuse_reply_err(take(), 0); }

void Reply::entry(const Attributes& attributes) {
  Context& about = context(req_);
  const fuse_entry_param entry = entry_of(about, attributes);
  about.file_system.remember(attributes.inode);
  // An interrupted request's answer is not taken: the kernel does not know the inode then.
  if (fuse_reply_entry(take(), &entry) != 0) about.file_system.forget(attributes.inode, 1);
}

void Reply::no_entry() {
  fuse_entry_param entry{};  // Inode 0: a name that does not exist, for as long as entry_timeout says.
  entry.entry_timeout = context(req_).cache_seconds;
  fuse_reply_entry(take(), &entry);
}

void Reply::attributes(const Attributes& attributes) {
  const Context& about = context(req_);
  const struct stat st = stat_of(about, attributes);
  const double seconds = about.seconds_for(attributes.inode);
  fuse_reply_attr(take(), &st, seconds);
}

void Reply::passing_attributes(const Attributes& attributes) {
  const struct stat st = stat_of(context(req_), attributes);
  fuse_reply_attr(take(), &st, 0);
}

bool Reply::opened(const fuse_file_info& file) { return fuse_reply_open(take(), &file) == 0; }

void Reply::created(const Attributes& attributes, const fuse_file_info& file) {
  Context& about = context(req_);
  const fuse_entry_param entry = entry_of(about, attributes);
  about.file_system.remember(attributes.inode);
  if (fuse_reply_create(take(), &entry, &file) != 0) {
    about.file_system.release(files::HandleId(file.fh));
    about.file_system.forget(attributes.inode, 1);
  }
}

void Reply::bytes(ByteView bytes) { fuse_reply_buf(take(), as_text(bytes).data(), bytes.size()); }

void Reply::text(std::string_view target) { fuse_reply_readlink(take(), std::string(target).c_str()); }

void Reply::written(std::size_t bytes) { fuse_reply_write(take(), bytes); }

void Reply::xattr_bytes(std::size_t bytes) { fuse_reply_xattr(take(), bytes); }

void Reply::offset(std::uint64_t offset) { fuse_reply_lseek(take(), static_cast<off_t>(offset)); }

void Reply::statfs(const struct statvfs& about) { fuse_reply_statfs(take(), &about); }

}  // namespace coffer::ops
