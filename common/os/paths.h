// What is done with paths on any Disk: asking for them, and removing all that lies below one.
#pragma once

#include <string>

#include "common/base/result.h"
#include "common/os/disk.h"

namespace coffer::os {

/// "/a" of "/a/b", "/" of "/a", "." of "a".
std::string folder_of(const std::string& path);

/// Whether there is anything at `path`. What is there and cannot be opened counts as there.
bool is_there(Disk& disk, const std::string& path);

/// Removes the file, or the folder with all that lies in it, and follows no link. One that is not there is no failure.
/// Nothing is synced: after a power cut any part of it may be there again.
Result<void> remove_all(Disk& disk, const std::string& path);

}  // namespace coffer::os
