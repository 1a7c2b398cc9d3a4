// What the kernel has written and not yet handed over, for MOUNT/.coffer/barrier.
//
// syncfs(2) of a FUSE mount starts the writeback of every dirty page and returns before the daemon has answered. For
// files that are closed that is no matter: close(2) waited for it. Files that are open for writing, mapped ones among
// them, are opened once more through the mount and fsynced: that waits until each page was answered. The fsync comes
// back to us as a request; op_fsync knows it by its process id, and answers at once.
#pragma once

#include <stop_token>

#include "common/base/result.h"
#include "fs/ops/context.h"

namespace coffer::ops {

/// Afterwards all that was written through the mount before has reached the FileSystem. Blocks; never called on a
/// thread that answers the kernel. Fault::stopped on `stop`.
Result<void> push_kernel_pages(Context& context, const std::stop_token& stop);

}  // namespace coffer::ops
