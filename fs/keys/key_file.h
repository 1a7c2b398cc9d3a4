// The key file of an unattended machine: 32 random bytes in one line of text. KEYS.md has the form.
#pragma once

#include <string>
#include <utility>

#include "common/base/bytes.h"
#include "common/base/result.h"
#include "common/crypto/wipe.h"
#include "common/os/disk.h"
#include "common/os/random.h"

namespace coffer::keys {

/// Moves, never copies.
class KeyFile {
 public:
  /// Makes the file with mode 0600 and returns when it is on stable storage. It must not exist yet: Fault::refused with
  /// EEXIST if it does, and nothing is changed. Blocks for the disk.
  static Result<KeyFile> make(os::Disk& disk, const std::string& path, os::Random& random);
  /// Fault::corrupt if the file is there and is no whole key file; the disk's own errors (ENOENT) as they are.
  static Result<KeyFile> read(os::Disk& disk, const std::string& path);

  /// 32 bytes.
  ByteView bytes() const { return secret_.bytes(); }

 private:
  explicit KeyFile(crypto::Secret secret) : secret_(std::move(secret)) {}

  crypto::Secret secret_;
};

}  // namespace coffer::keys
