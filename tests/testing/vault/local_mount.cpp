#include "tests/testing/vault/local_mount.h"

#include <atomic>
#include <cerrno>
#include <cstdio>
#include <utility>

#include "tests/testing/eventually.h"

namespace coffer::testing {

LocalMount::LocalMount(const std::string& vault_folder, const LocalMountOptions& options)
    : vault_(vault_folder, options.files) {
  ops::MountOptions mount_options;
  mount_options.mountpoint = path();
  mount_options.options = options.fuse;
  mount_options.read_only = options.files.read_only;
  mount_options.shown = options.shown;
  const auto is_ready = std::make_shared<std::atomic<bool>>(false);
  mount_options.on_ready = [is_ready] { *is_ready = true; };
  Result<std::unique_ptr<ops::Mount>> mounted = ops::Mount::mount(vault_.file_system(), mount_options);
  if (!mounted) std::fprintf(stderr, "%s\n", mounted.error().what.c_str());
  COFFER_CHECK(mounted.has_value());
  mount_ = *std::move(mounted);
  server_ = std::thread([this] { COFFER_CHECK(mount_->run().has_value()); });
  COFFER_CHECK(eventually([&] { return is_ready->load(); }));
}

LocalMount::~LocalMount() {
  const Result<void> unmounted = mount_->unmount();
  // A failed test may have left files open. One that detached the mount has left nothing to unmount.
  if (!unmounted && unmounted.error().code != EINVAL) COFFER_CHECK(mount_->unmount(true).has_value());
  server_.join();
}

}  // namespace coffer::testing
