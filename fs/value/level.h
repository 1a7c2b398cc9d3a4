// How safe something is (DESIGN.md section 1). The names are the same in code, status, xattrs and documents.
#pragma once

#include <string_view>

namespace coffer {

enum class Level {
  memory,     ///< The kernel or this process has it.
  spooled,    ///< Sealed on the local disk (or batched there, encrypted) and in the tree: survives kill -9.
  stored,     ///< The server has every chunk of it, hash checked and synced.
  committed,  ///< A commit in the server's log names it, and we hold the receipt.
  verified,   ///< Read back and compared since a date that is shown.
};

constexpr std::string_view level_name(Level level) {
  switch (level) {
    case Level::memory: return "memory";
    case Level::spooled: return "spooled";
    case Level::stored: return "stored";
    case Level::committed: return "committed";
    case Level::verified: return "verified";
  }
  return "";
}

}  // namespace coffer
