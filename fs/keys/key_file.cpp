#include "fs/keys/key_file.h"

#include <algorithm>
#include <cerrno>
#include <memory>
#include <optional>
#include <string_view>

#include "common/os/paths.h"
#include "fs/keys/checked_text.h"

namespace coffer::keys {
namespace {

constexpr std::string_view kPurpose = "coffer 1 key file";
constexpr std::string_view kPrefix = "coffer-key-file-1 ";
constexpr std::size_t kFileBytesMax = 256;

Error malformed() {
  return {Fault::corrupt, 0, "key file is damaged, or no key file: it has one line that begins with coffer-key-file-1"};
}

Result<void> write_new(os::Disk& disk, const std::string& path, ByteView bytes) {
  Result<std::unique_ptr<os::File>> file = disk.open(path, os::Open::create_new);
  if (!file && file.error().code == EEXIST) {
    return Error{Fault::refused, EEXIST, "key file exists already: name a new one"};
  }
  if (!file) return std::move(file).error();
  Result<void> written = (*file)->write_at(bytes, 0);
  if (written) written = (*file)->sync();
  if (written) written = disk.sync_folder(os::folder_of(path));
  if (!written) (void)disk.remove(path);  // Nobody shall take it for one that is kept.
  return written;
}

/// Without the line's end, which an editor may have written in its own way.
std::string_view without_line_end(std::string_view text) {
  while (!text.empty() && (text.back() == '\n' || text.back() == '\r')) text.remove_suffix(1);
  return text;
}

}  // namespace

Result<KeyFile> KeyFile::make(os::Disk& disk, const std::string& path, os::Random& random) {
  crypto::Secret secret(kCheckedSecretBytes);
  random.fill(secret.bytes());
  const crypto::Secret text = to_checked_text(std::as_const(secret).bytes(), kPurpose);
  crypto::Secret line(kPrefix.size() + text.size() + 1);
  std::ranges::copy(as_bytes(kPrefix), line.bytes().begin());
  std::ranges::copy(text.bytes(), line.bytes().begin() + kPrefix.size());
  line.bytes().back() = std::byte{'\n'};
  COFFER_DO(write_new(disk, path, std::as_const(line).bytes()));
  return KeyFile(std::move(secret));
}

Result<KeyFile> KeyFile::read(os::Disk& disk, const std::string& path) {
  COFFER_TRY(Bytes content, os::read_file(disk, path, kFileBytesMax));
  const crypto::Secret held = crypto::Secret::copy_of(content);
  crypto::wipe(content);
  const std::string_view line = without_line_end(as_text(held.bytes()));
  if (!line.starts_with(kPrefix)) return malformed();
  std::optional<crypto::Secret> secret = from_checked_text(line.substr(kPrefix.size()), kPurpose);
  if (!secret) return malformed();
  return KeyFile(std::move(*secret));
}

}  // namespace coffer::keys
