#include "fs/ops/mount.h"

#include <fcntl.h>
#include <pthread.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstring>
#include <optional>
#include <thread>
#include <utility>

#include "common/base/log.h"
#include "common/base/mutex.h"
#include "fs/ops/context.h"
#include "fs/ops/fuse.h"
#include "fs/ops/kernel_io.h"
#include "fs/ops/kernel_view.h"
#include "fs/ops/mountpoint.h"
#include "fs/ops/operations.h"

namespace coffer::ops {

namespace {

/// A read that waits for the server keeps its thread: twice as many as the kernel sends in the background
/// (ops_session.cpp), so that other requests always find one.
constexpr unsigned kThreadsMax = 160;
constexpr unsigned kIdleThreadsMax = 10;
constexpr auto kInterruptInterval = std::chrono::milliseconds(20);

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

/// Requests that nobody reads any more end with ECONNABORTED: the kernel's side goes with the last descriptor. In its
/// place stands one that tells poll(2) what an unmounted one does, so that libfuse unmounts nothing by name any more.
void close_connection(fuse_session* session) {
  std::array<int, 2> ends{};
  if (::pipe2(ends.data(), O_CLOEXEC) != 0) return;
  ::close(ends[0]);
  ::dup3(ends[1], fuse_session_fd(session), O_CLOEXEC);
  ::close(ends[1]);
}

/// For what comes back from a wait because of a signal: sem_wait(3) in libfuse's loop.
void interrupt_with(int signal_number) {
  struct sigaction nothing {};
  nothing.sa_handler = [](int) {};  // Without SA_RESTART.
  ::sigaction(signal_number, &nothing, nullptr);
}

}  // namespace

struct Mount::Impl {
  Impl(files::FileSystem& file_system, std::string mountpoint, const MountOptions& options)
      : context{.file_system = file_system,
                .mountpoint = std::move(mountpoint),
                .cache_seconds = std::chrono::duration<double>(options.cache_time).count(),
                .shown = options.shown,
                .follows_others = options.read_only,
                .on_ready = options.on_ready} {}

  Context context;
  Session session{};
  std::atomic<bool> is_mounted{false};

  int loop();
  void end_within(std::chrono::milliseconds grace);
  void end_by_force();
  void end();

  Mutex mutex;
  Condition changed;
  std::optional<pthread_t> runner GUARDED_BY(mutex);  // The thread that is in loop().
  bool was_forced GUARDED_BY(mutex) = false;
  bool is_over GUARDED_BY(mutex) = false;
  std::optional<std::chrono::steady_clock::time_point> end_at GUARDED_BY(mutex);
  std::thread ender;  // Begun under the mutex, joined by end().
};

/// libfuse's loop, whose end is known to the ender.
int Mount::Impl::loop() {
  interrupt_with(SIGUSR2);
  const std::unique_ptr<fuse_loop_config, decltype(&fuse_loop_cfg_destroy)> config(fuse_loop_cfg_create(),
                                                                                   fuse_loop_cfg_destroy);
  fuse_loop_cfg_set_max_threads(config.get(), kThreadsMax);
  fuse_loop_cfg_set_idle_threads(config.get(), kIdleThreadsMax);
  {
    const MutexLock lock(mutex);
    runner = ::pthread_self();
  }
  const int ended = fuse_session_loop_mt(session.session, config.get());
  const MutexLock lock(mutex);
  runner.reset();
  is_over = true;
  changed.notify_all();
  return ended;
}

/// The earliest such end counts.
void Mount::Impl::end_within(std::chrono::milliseconds grace) {
  const auto deadline = std::chrono::steady_clock::now() + grace;
  const MutexLock lock(mutex);
  end_at = end_at ? std::min(*end_at, deadline) : deadline;
  changed.notify_all();
  if (!is_over && !ender.joinable()) ender = std::thread([this] { end_by_force(); });
}

/// Waits for loop() to end by itself, then makes it.
void Mount::Impl::end_by_force() {
  const MutexLock lock(mutex);
  while (!is_over && std::chrono::steady_clock::now() < *end_at) changed.wait_until(mutex, *end_at);
  if (is_over) return;
  log::warn("mount_ended_in_use");
  was_forced = true;
  context.ending.request_stop();  // Whoever waits for the server or for room is told so.
  fuse_session_exit(session.session);
  while (!is_over && runner) {  // Again and again: the signal may come just before the loop begins to wait.
    ::pthread_kill(*runner, SIGUSR2);
    changed.wait_until(mutex, std::chrono::steady_clock::now() + kInterruptInterval);
  }
}

void Mount::Impl::end() {
  context.file_system.on_push_pages({});
  bool by_force = false;
  {
    const MutexLock lock(mutex);
    is_over = true;
    by_force = was_forced;
    changed.notify_all();
  }
  if (ender.joinable()) ender.join();
  if (by_force) close_connection(session.session);
  if (is_mounted.exchange(false)) fuse_session_unmount(session.session);
  context.ending.request_stop();
  context.waiters.stop();
}

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
  impl->context.session = impl->session.session;
  if (impl->session.session == nullptr) {
    return Error{Fault::refused, EINVAL, "a mount option is not known; see mount.fuse3(8)"};
  }
  if (fuse_session_mount(impl->session.session, impl->context.mountpoint.c_str()) != 0) {
    if (::geteuid() != 0 && (names(options.options, "allow_other") || names(options.options, "allow_root"))) {
      return Error{
          Fault::refused, EACCES,
          "mounting for other users failed; whoever is not root may do that only where /etc/fuse.conf has a line "
          "user_allow_other"};
    }
    return Error{Fault::refused, EACCES,
                 "mounting failed; /dev/fuse and fusermount3 (package fuse3) must be there and usable"};
  }
  impl->is_mounted = true;
  COFFER_DO(take_over_io(impl->session.session, impl->context));
  impl->context.device = fuse_session_fd(impl->session.session);
  file_system.on_push_pages([&context = impl->context](InodeId inode) {
    if (const Result<void> pushed = ops::push_kernel_pages(context, inode); !pushed) {
      log::warn("pages_not_pushed", {{"inode", inode.value()}, {"why", pushed.error().what}});
    }
  });
  return std::unique_ptr<Mount>(new Mount(std::move(impl)));
}

Result<void> Mount::run() {
  const int ended = impl_->loop();
  impl_->end();
  if (ended < 0) return os_error(-ended, "FUSE");
  return {};
}

Result<void> Mount::unmount(bool detach) {
  if (!impl_->is_mounted) return {};
  COFFER_DO(ops::unmount(impl_->context.mountpoint, detach));
  impl_->end_within(detach ? kDetachGrace : kUnmountGrace);
  return {};
}

void Mount::stop() {
  impl_->end_within(kDetachGrace);
  if (const Result<void> pushed = push_kernel_pages({}); !pushed)
    log::warn("pages_not_pushed", {{"why", pushed.error().what}});
  if (!unmount(false)) (void)unmount(true);
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
