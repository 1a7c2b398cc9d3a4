#include "fs/spool/staging.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <limits>
#include <utility>

#include "common/base/check.h"
#include "common/base/limits.h"
#include "common/crypto/aead.h"
#include "common/crypto/kdf.h"

namespace coffer::spool {
namespace {

constexpr std::string_view kMagic = "CFRSTG01";
constexpr std::size_t kSaltBytes = 32;
constexpr std::size_t kFileHeaderBytes = 8 + kSaltBytes;
constexpr std::size_t kRecordHeaderBytes = 8;
/// A record's plain bytes: one open chunk is never larger.
constexpr std::size_t kRecordPlainBytesMax = limits::kChunkPlainBytesMax;
/// An open chunk of the largest size in records of one byte each.
constexpr std::size_t kFileBytesMax = 256u << 20;

/// The file's own key. The chunk's number is in it, so that a file under another name opens for nobody.
crypto::Secret file_key(const crypto::Secret& staging_key, ByteView salt, ChunkKey chunk) {
  Bytes info = copy_of(as_bytes("coffer staging"));
  Writer(info).put(static_cast<std::uint64_t>(chunk.value()));
  crypto::Secret key(crypto::kAeadKeyBytes);
  crypto::hkdf_sha256(staging_key.bytes(), salt, info, key.bytes());
  return key;
}

crypto::AeadNonce nonce_of(std::uint64_t record_index) {
  crypto::AeadNonce nonce{};
  std::memcpy(nonce.data(), &record_index, sizeof(record_index));
  return nonce;
}

Bytes record_header(std::uint32_t offset, std::uint32_t plain_bytes) {
  Bytes header;
  Writer writer(header);
  writer.put(offset);
  writer.put(plain_bytes);
  return header;
}

}  // namespace

Result<Staged> decode_staging(ByteView file, ChunkKey chunk, const crypto::Secret& staging_key) {
  Reader reader(file);
  COFFER_TRY(const ByteView magic, reader.get_bytes(kMagic.size()));
  if (as_text(magic) != kMagic) return Error{Fault::corrupt, 0, "not a staging file"};
  COFFER_TRY(const ByteView salt, reader.get_bytes(kSaltBytes));
  crypto::Aes256Gcm cipher(file_key(staging_key, salt, chunk).bytes());

  Staged staged;
  for (std::uint64_t index = 0; !reader.rest().empty(); ++index) {
    const auto header = reader.get_bytes(kRecordHeaderBytes);
    if (!header) return staged;  // Torn: the tree never heard of it.
    Reader fields(*header);
    COFFER_TRY(const auto offset, fields.get<std::uint32_t>());
    COFFER_TRY(const auto plain_bytes, fields.get<std::uint32_t>());
    if (offset != staged.plain.size() || plain_bytes == 0 || plain_bytes > kRecordPlainBytesMax - offset) {
      staged.is_damaged = true;
      return staged;
    }
    const auto sealed = reader.get_bytes(plain_bytes + crypto::kAeadTagBytes);
    if (!sealed) return staged;
    staged.plain.resize(offset + plain_bytes);
    const MutableByteView into(staged.plain.data() + offset, plain_bytes);
    if (!cipher.open(nonce_of(index), *header, *sealed, into)) {
      staged.plain.resize(offset);
      staged.is_damaged = true;
      return staged;
    }
  }
  return staged;
}

Result<std::uint64_t> staged_bytes(os::Disk& disk, const std::string& folder, ChunkKey chunk) {
  const Result<Bytes> file = os::read_file(disk, folder + "/" + std::to_string(chunk.value()), kFileBytesMax);
  if (!file && file.error().code == ENOENT) return std::uint64_t{0};
  COFFER_DO(file);
  Reader reader(*file);
  std::uint64_t sum = 0;
  if (!reader.get_bytes(kFileHeaderBytes)) return sum;
  for (;;) {
    const Result<std::uint32_t> offset = reader.get<std::uint32_t>();
    const Result<std::uint32_t> plain_bytes = reader.get<std::uint32_t>();
    if (!offset || !plain_bytes || *offset != sum || *plain_bytes > kRecordPlainBytesMax) return sum;
    if (!reader.get_bytes(*plain_bytes + crypto::kAeadTagBytes)) return sum;  // Torn.
    sum += *plain_bytes;
  }
}

/// One file that this process began. A file that an earlier process began is only read: its last record may be torn.
struct Staging::Appender {
  std::unique_ptr<os::File> file;
  crypto::Aes256Gcm cipher;
  std::uint64_t file_bytes = kFileHeaderBytes;
  std::uint64_t record_index = 0;
  bool has_failed = false;
};

Staging::Staging(os::Disk& disk, std::string folder, crypto::Secret staging_key, os::Random& random)
    : disk_(disk), folder_(std::move(folder)), key_(std::move(staging_key)), random_(random) {}

Staging::~Staging() = default;

Result<std::unique_ptr<Staging>> Staging::open(os::Disk& disk, const std::string& folder, crypto::Secret staging_key,
                                               os::Random& random) {
  COFFER_DO(disk.make_folder(folder));
  return std::unique_ptr<Staging>(new Staging(disk, folder, std::move(staging_key), random));
}

std::string Staging::path_of(ChunkKey chunk) const { return folder_ + "/" + std::to_string(chunk.value()); }

Result<std::shared_ptr<Staging::Appender>> Staging::appender(ChunkKey chunk) {
  {
    const MutexLock lock(mutex_);
    const auto found = appenders_.find(chunk);
    if (found != appenders_.end()) return found->second;
  }
  std::array<std::byte, kSaltBytes> salt;
  random_.fill(salt);
  Bytes header = copy_of(as_bytes(kMagic));
  coffer::append(header, salt);
  COFFER_TRY(std::unique_ptr<os::File> file, disk_.open(path_of(chunk), os::Open::create_new));
  COFFER_DO(file->write_at(header, 0));
  auto made = std::make_shared<Appender>(
      Appender{.file = std::move(file), .cipher = crypto::Aes256Gcm(file_key(key_, salt, chunk).bytes())});
  const MutexLock lock(mutex_);
  appenders_.emplace(chunk, made);
  return made;
}

Result<void> Staging::append(ChunkKey chunk, std::uint32_t offset, ByteView plain) {
  COFFER_CHECK(!plain.empty() && offset + plain.size() <= kRecordPlainBytesMax);
  COFFER_TRY(const std::shared_ptr<Appender> to, appender(chunk));
  Bytes record = record_header(offset, static_cast<std::uint32_t>(plain.size()));
  record.resize(kRecordHeaderBytes + plain.size() + crypto::kAeadTagBytes);
  const MutableByteView bytes(record);
  // A record that was written in part has used up its nonce, and another one cannot be skipped: readers count.
  if (to->has_failed) return Error{Fault::local_io, 0, "a staging file that failed takes no more"};
  to->cipher.seal(nonce_of(to->record_index), bytes.first(kRecordHeaderBytes), plain,
                  bytes.subspan(kRecordHeaderBytes));
  if (auto written = to->file->write_at(record, to->file_bytes); !written) {
    to->has_failed = true;
    return std::move(written).error();
  }
  to->file_bytes += record.size();
  ++to->record_index;
  return {};
}

Result<std::vector<ChunkKey>> Staging::chunks() const {
  COFFER_TRY(const std::vector<std::string> names, disk_.list(folder_));
  std::vector<ChunkKey> found;
  for (const std::string& name : names) {
    std::int64_t key = 0;
    const auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), key);
    if (error == std::errc() && end == name.data() + name.size()) found.emplace_back(key);
  }
  std::sort(found.begin(), found.end());
  return found;
}

Result<Staged> Staging::read(ChunkKey chunk) const {
  COFFER_TRY(const Bytes file, os::read_file(disk_, path_of(chunk), kFileBytesMax));
  return decode_staging(file, chunk, key_);
}

Result<void> Staging::remove(ChunkKey chunk) {
  {
    const MutexLock lock(mutex_);
    appenders_.erase(chunk);
  }
  auto removed = disk_.remove(path_of(chunk));
  if (!removed && removed.error().code != ENOENT) return std::move(removed).error();
  return {};
}

}  // namespace coffer::spool
