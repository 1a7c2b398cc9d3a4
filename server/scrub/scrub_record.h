// vaults/ID/scrub.json: how far the scrub of a vault has come, and when the last one was done.
#pragma once

#include <cstdint>
#include <string>

#include "common/base/result.h"
#include "common/os/disk.h"
#include "common/pack/pack_store.h"

namespace coffer::scrub {

/// Times are nanoseconds since 1970; 0: never.
struct ScrubRecord {
  std::int64_t scrubbed_ns = 0;  ///< When the last whole round began: all that was stored then was read since.
  std::int64_t began_ns = 0;     ///< Of the round that is under way, or was the last one.
  bool is_under_way = false;
  pack::Place place;                ///< How far it has come.
  std::uint64_t chunks = 0;         ///< Read in this round.
  std::uint64_t bytes = 0;          ///< Of these.
  std::uint64_t damaged = 0;        ///< Of these, found damaged and set aside.
  std::uint64_t wanted_chunks = 0;  ///< That the log names and the server has lost, when this was written.

  friend bool operator==(const ScrubRecord&, const ScrubRecord&) = default;
};

/// A record that is absent or cannot be read is a new one: the scrub begins anew.
ScrubRecord read_scrub_record(os::Disk& disk, const std::string& vault_folder);
Result<void> write_scrub_record(os::Disk& disk, const std::string& vault_folder, const ScrubRecord& record);

}  // namespace coffer::scrub
