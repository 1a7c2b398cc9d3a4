// The folder /.coffer and what is in it: nothing of it is in the tree.
#pragma once

#include <string_view>
#include <vector>

#include "common/base/result.h"
#include "fs/files/file_system.h"

namespace coffer::files {

inline constexpr std::string_view kVirtualFolderName = ".coffer";

constexpr bool is_virtual(InodeId inode) { return inode.value() >= kVirtualInodeFirst; }

/// Attributes of virtual inodes; they belong to whoever runs this process, and are nobody else's to open: with
/// allow_other the others of the machine come in too. ENOENT for other numbers.
Result<Attributes> virtual_attributes(InodeId inode, const Attributes& root, std::int64_t now_ns);
/// ENOENT, ENOTDIR.
Result<InodeId> virtual_lookup(InodeId parent, std::string_view name);
/// ENOTDIR.
Result<std::vector<Entry>> virtual_entries(InodeId folder, std::uint64_t after, const Attributes& root,
                                           std::int64_t now_ns);

}  // namespace coffer::files
