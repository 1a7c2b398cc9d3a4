// Brings the index in step with the packs, whatever the last process left.
#pragma once

#include <memory>
#include <string>

#include "common/base/result.h"
#include "common/os/disk.h"
#include "common/pack/index.h"
#include "common/pack/pack_files.h"
#include "common/pack/pack_store.h"

namespace coffer::pack {

/// Opens the index of a folder that the caller has locked, making it anew where it is damaged, carries out removals
/// that were decided on, reads what it has not seen of the packs, and cuts off or keeps torn tails (PACKS.md).
/// Afterwards all that the index names is on stable storage. `report` gains what was found beyond the index.
Result<std::unique_ptr<Index>> open_index(os::Disk& disk, const std::string& folder, PackFiles& files,
                                          ScanReport& report);

/// Throws the index away and makes it anew, with every record whose header is good.
Result<void> rebuild_index(os::Disk& disk, const std::string& folder, PackFiles& files, ScanReport& report);

/// Marks each record as removed, and once the marks are on stable storage gives the space of the payloads back.
Result<void> carry_out_removals(PackFiles& files, const std::vector<Location>& removals);

}  // namespace coffer::pack
