// The person at the terminal: asks for secrets, shows how far something is.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "common/base/result.h"
#include "common/crypto/wipe.h"

namespace coffer::cli {

/// True if there is a terminal to ask at.
bool has_terminal();
/// `text` as it may be shown on `fd`: on a terminal what steers it is escaped (base::escaped), for it may be the name
/// of a file that someone else made. Everything but plain words of ours goes through this.
std::string shown(std::string_view text, int fd = 1);
/// Reads one line from the controlling terminal without showing it. Fault::refused where there is none.
Result<crypto::Secret> ask_secret(const std::string& prompt);
/// Asks twice; Fault::refused if the two differ or are empty.
Result<crypto::Secret> ask_new_passphrase();

/// Writes `head`, the secret and an empty line to stdout before it returns; fails where not all of it went out.
Result<void> show_secret(const std::string& head, const crypto::Secret& secret);

/// A line on stderr that is written over again and again; nothing where stderr is no terminal.
class ProgressLine {
 public:
  ProgressLine();
  ~ProgressLine();  ///< Leaves the line empty.
  ProgressLine(const ProgressLine&) = delete;
  ProgressLine& operator=(const ProgressLine&) = delete;

  bool is_shown() const { return is_shown_; }
  void show(const std::string& text);
  /// A bar of `done` out of `of`, and `text` behind it.
  void show(std::uint64_t done, std::uint64_t of, const std::string& text);

 private:
  const bool is_shown_;
  bool is_dirty_ = false;
};

}  // namespace coffer::cli
