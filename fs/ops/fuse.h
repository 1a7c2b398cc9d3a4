// libfuse's low-level interface, in the one version that fs/ops is written for.
#pragma once

#define FUSE_USE_VERSION 312
#include <fuse_lowlevel.h>
