#include "fs/cli/progress.h"

#include <algorithm>

#include "common/base/text.h"

namespace coffer::cli {

void UploadProgress::show(const vault::Status& status) {
  const auto now = std::chrono::steady_clock::now();
  if (first_ == std::chrono::steady_clock::time_point{}) {
    first_ = now;
    sent_at_first_ = status.bytes_sent;
  }
  // A change without content counts like a little content, so that the bar moves for those as well.
  constexpr std::uint64_t kChangeWeight = 512;
  const std::uint64_t owed =
      status.owed_bytes + status.buffered_bytes + kChangeWeight * (status.owed_files + status.owed_names);
  most_ = std::max(most_, owed);
  std::string text = base::format_size(status.owed_bytes + status.buffered_bytes) + " and " +
                     std::to_string(status.owed_files + status.owed_names) + " changes to go";
  const double seconds = std::chrono::duration<double>(now - first_).count();
  const std::uint64_t sent = status.bytes_sent - std::min(status.bytes_sent, sent_at_first_);
  if (seconds > 1 && sent > 0) {
    text += ", " + base::format_size(static_cast<std::uint64_t>(static_cast<double>(sent) / seconds)) + "/s";
  }
  if (status.link != "online") text += ", waiting for the server: " + status.link_why;
  line_.show(most_ - owed, most_, text);
}

}  // namespace coffer::cli
