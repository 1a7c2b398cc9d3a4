// The operations, a file for each group; each sets its own of libfuse's table.
#pragma once

#include "fs/ops/fuse.h"

namespace coffer::ops {

void set_session_operations(fuse_lowlevel_ops& table);
void set_name_operations(fuse_lowlevel_ops& table);
void set_attribute_operations(fuse_lowlevel_ops& table);
void set_data_operations(fuse_lowlevel_ops& table);
void set_directory_operations(fuse_lowlevel_ops& table);
void set_xattr_operations(fuse_lowlevel_ops& table);

}  // namespace coffer::ops
