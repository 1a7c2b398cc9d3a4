// The folder on which a mount is made, and taken away again.
#pragma once

#include <string>

#include "common/base/result.h"

namespace coffer::ops {

/// The absolute path of `mountpoint`, once it is sure that a mount may be made there: an empty folder on which nothing
/// is mounted. What a client that died has left there is unmounted first. Otherwise Fault::refused, with a sentence
/// that says what to do.
Result<std::string> prepare_mountpoint(const std::string& mountpoint);

/// Whether a FUSE mount is there whose process is gone: it answers every call with ENOTCONN, but for attributes that
/// the kernel still remembers.
bool is_dead_mount(const std::string& path);

/// The type of what is mounted on `path`, such as "fuse.coffer"; empty where nothing is. Asks no file system.
std::string mounted_type(const std::string& path);

}  // namespace coffer::ops
