#include "fs/ops/mount.h"

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstring>
#include <utility>

#include "fs/ops/context.h"
#include "fs/ops/fuse.h"
#include "fs/ops/kernel_view.h"
#include "fs/ops/mountpoint.h"
#include "fs/ops/operations.h"

namespace coffer::ops {

namespace {

/// A read that waits for the server keeps its thread: twice as many as the kernel sends in the background
/// (ops_session.cpp), so that other requests always find one.
constexpr unsigned kThreadsMax = 160;
constexpr unsigned kIdleThreadsMax = 10;

fuse_lowlevel_ops operations() {
  fuse_lowlevel_ops table{};
  set_session_operations(table);
  set_name_operations(table);
  set_attribute_operations(table);
  set_data_operations(table);
  set_directory_operations(table);
  set_xattr_operations(table);
  return table;
}

bool names(const std::vector<std::string>& options, std::string_view key) {
  return std::ranges::any_of(
      options, [&](const std::string& option) { return option == key || option.starts_with(std::string(key) + "="); });
}

std::vector<std::string> arguments_of(const MountOptions& options) {
  std::vector<std::string> all = options.options;
  all.emplace_back("default_permissions");
  all.emplace_back("subtype=coffer");
  if (!names(all, "fsname")) all.emplace_back("fsname=coffer");
  if (options.read_only && !names(all, "ro")) all.emplace_back("ro");
  std::vector<std::string> arguments{"coffer"};
  for (std::string& option : all) {
    arguments.emplace_back("-o");
    arguments.push_back(std::move(option));
  }
  return arguments;
}

struct Session {
  ~Session() {
    if (session != nullptr) fuse_session_destroy(session);
  }
  fuse_session* session = nullptr;
};

}  // namespace

struct Mount::Impl {
  Impl(files::FileSystem& file_system, std::string mountpoint, const MountOptions& options)
      : context{.file_system = file_system,
                .mountpoint = std::move(mountpoint),
                .cache_seconds = std::chrono::duration<double>(options.cache_time).count(),
                .follows_others = options.read_only,
                .on_ready = options.on_ready} {}

  Context context;
  Session session{};
  std::atomic<bool> is_mounted{false};

  void end() {
    if (is_mounted.exchange(false)) fuse_session_unmount(session.session);
    context.ending.request_stop();
    context.waiters.stop();
  }
};

Mount::Mount(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}

Mount::~Mount() { impl_->end(); }

Result<std::unique_ptr<Mount>> Mount::mount(files::FileSystem& file_system, const MountOptions& options) {
  COFFER_TRY(std::string mountpoint, prepare_mountpoint(options.mountpoint));
  std::vector<std::string> arguments = arguments_of(options);
  std::vector<char*> pointers;
  for (std::string& argument : arguments) pointers.push_back(argument.data());
  fuse_args args = FUSE_ARGS_INIT(static_cast<int>(pointers.size()), pointers.data());

  auto impl = std::make_unique<Impl>(file_system, std::move(mountpoint), options);
  const fuse_lowlevel_ops table = operations();
  impl->session.session = fuse_session_new(&args, &table, sizeof(table), &impl->context);
  if (impl->session.session == nullptr) {
    return Error{Fault::refused, EINVAL, "a mount option is not known; see mount.fuse3(8)"};
  }
  if (fuse_session_mount(impl->session.session, impl->context.mountpoint.c_str()) != 0) {
    return Error{Fault::refused, EACCES,
                 "mounting failed; /dev/fuse and fusermount3 (package fuse3) must be there and usable"};
  }
  impl->context.device = fuse_session_fd(impl->session.session);
  impl->is_mounted = true;
  return std::unique_ptr<Mount>(new Mount(std::move(impl)));
}

Result<void> Mount::run() {
  const std::unique_ptr<fuse_loop_config, decltype(&fuse_loop_cfg_destroy)> config(fuse_loop_cfg_create(),
                                                                                   fuse_loop_cfg_destroy);
  fuse_loop_cfg_set_max_threads(config.get(), kThreadsMax);
  fuse_loop_cfg_set_idle_threads(config.get(), kIdleThreadsMax);
  const int ended = fuse_session_loop_mt(impl_->session.session, config.get());
  impl_->end();
  if (ended < 0) return os_error(-ended, "FUSE");
  return {};
}

Result<void> Mount::unmount(bool detach) {
  if (!impl_->is_mounted) return {};
  return ops::unmount(impl_->context.mountpoint, detach);
}

Result<void> Mount::push_kernel_pages(const std::stop_token& stop) {
  return ops::push_kernel_pages(impl_->context, stop);
}

void Mount::notify_invalidate(InodeId inode) {
  // ENOENT: the kernel does not know it, which is as good.
  fuse_lowlevel_notify_inval_inode(impl_->session.session, inode.value(), 0, 0);
}

void Mount::notify_invalidate(InodeId parent, std::string_view name) {
  fuse_lowlevel_notify_inval_entry(impl_->session.session, parent.value(), std::string(name).c_str(), name.size());
}

}  // namespace coffer::ops
