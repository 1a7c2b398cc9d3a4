// Reads requests and writes answers: Readers say whose turn it is to read, and FUSE_HANDLE_KILLPRIV_V2 (fuse.h, 7.33),
// which libfuse 3.14 does not pass on, is agreed on here.
//
// Without the flag the kernel asks before each write(2) for the xattr security.capability, and before each chown(2) for
// the attributes. With it an inode that had no such xattr at the first write is not asked for again, and the kernel
// leaves it to us to clear suid and sgid; it says when, as only it knows who has CAP_FSETID.
#pragma once

#include "common/base/result.h"
#include "fs/ops/fuse.h"

namespace coffer::ops {

struct Context;

/// Reads and writes the session's device through functions of ours. `session` is mounted, and its userdata is
/// `context`.
Result<void> take_over_io(fuse_session* session, Context& context);

/// Whether the request that this thread read last wants suid and sgid to be cleared (of a file that others may execute
/// by its group, in the case of sgid). False where the kernel is too old to say so: it clears them itself then.
bool clears_privileges();

}  // namespace coffer::ops
