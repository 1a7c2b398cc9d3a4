// What the kernel has of files and has not told yet: pages that are not written back, and sizes because of them.
//
// syncfs(2) of a FUSE mount starts the writeback of every dirty page and returns before the daemon has answered. For
// files that are closed that is no matter: close(2) waited for it. Files that are open for writing, mapped ones among
// them, are opened once more through the mount and fsynced: that waits until each page was answered. The fsync comes
// back to us as a request; op_fsync knows it by its thread, and answers at once.
//
// Both calls go through the mount and wait for its answers: never on a thread that answers the kernel, and never on one
// that holds /dev/fuse. A thread that waits in the kernel for its own process's answer cannot be killed (Linux 6.18,
// request_wait_answer()), and a process that was killed closes /dev/fuse with its last thread: it would stay for good,
// with the home's lock, and every program in the mount with it. So each call has a thread with a table of descriptors
// of its own, without that one: kill -9 takes the others, the kernel ends the connection, and what the thread waits for
// fails.
#pragma once

#include <cstdint>
#include <optional>
#include <stop_token>

#include "common/base/result.h"
#include "fs/ops/context.h"

namespace coffer::ops {

/// Afterwards all that was written through the mount before has reached the FileSystem. Fault::stopped on `stop`.
Result<void> push_kernel_pages(Context& context, const std::stop_token& stop);

/// The same for one file. One that may not be opened (its mode is 0000, and we are not root) is passed over.
Result<void> push_kernel_pages(Context& context, InodeId inode);

/// The file's size as stat(2) tells it; nullopt where the file has no name by which it can be asked for.
std::optional<std::uint64_t> kernel_size(Context& context, InodeId inode);

}  // namespace coffer::ops
