// What a mount says of itself, for commands that were not told its home.
#pragma once

#include <optional>
#include <string>

#include "fs/vault/home.h"

namespace coffer::cli {

/// The folder of the vault that a process that lives has mounted at `mountpoint`; nothing where no such mount is there,
/// or where it does not answer within kAnswerTime.
std::optional<vault::VaultFolder> folder_of_mount(const std::string& mountpoint);

/// The mountpoint of the coffer mount in which `path` lies, both absolute.
std::optional<std::string> mountpoint_above(const std::string& path);

}  // namespace coffer::cli
