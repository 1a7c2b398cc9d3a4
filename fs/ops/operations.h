// The operations, a file for each group; each sets its own of libfuse's table.
#pragma once

#include "fs/files/file_system.h"
#include "fs/ops/fuse.h"

namespace coffer::ops {

void set_session_operations(fuse_lowlevel_ops& table);
void set_name_operations(fuse_lowlevel_ops& table);
void set_attribute_operations(fuse_lowlevel_ops& table);
void set_data_operations(fuse_lowlevel_ops& table);
void set_directory_operations(fuse_lowlevel_ops& table);
void set_xattr_operations(fuse_lowlevel_ops& table);

/// What the kernel may keep of a file that was opened.
void set_caching(files::FileSystem& files, InodeId inode, fuse_file_info& info);

}  // namespace coffer::ops
