#include "fs/meta/redo_log.h"

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <optional>
#include <utility>

#include "common/base/crc32c.h"

namespace coffer::meta {
namespace {

constexpr std::uint32_t kMagic = 0x4f524643;  // "CFRO"
constexpr std::size_t kHeaderBytes = 24;
constexpr std::size_t kCheckedBytes = 20;
/// A restart reads and runs no more than this, about 5,000 operations.
constexpr std::uint64_t kLogBytesMax = 4u << 20;
constexpr std::uint64_t kUsualBytesMax = 256u << 10;

enum class Kind : std::uint8_t { integer = 0, blob = 1 };

std::uint32_t checksum(ByteView header, ByteView payload) {
  Bytes checked;
  checked.reserve(kCheckedBytes + payload.size());
  append(checked, header.first(kCheckedBytes));
  append(checked, payload);
  return crc32c(checked);
}

struct Record {
  std::uint64_t generation;
  std::uint32_t index;
  ByteView payload;
};

/// The record that `from` begins with, if it is a whole one.
std::optional<Record> record_at(ByteView from) {
  Reader reader(from);
  const auto magic = reader.get<std::uint32_t>();
  const auto payload_bytes = reader.get<std::uint32_t>();
  const auto generation = reader.get<std::uint64_t>();
  const auto index = reader.get<std::uint32_t>();
  const auto crc = reader.get<std::uint32_t>();
  if (!crc || *magic != kMagic) return std::nullopt;
  const auto payload = reader.get_bytes(*payload_bytes);
  if (!payload || checksum(from, *payload) != *crc) return std::nullopt;
  return Record{*generation, *index, *payload};
}

Result<std::string_view> statement_of(Reader& reader, std::vector<std::string_view>& known) {
  COFFER_TRY(const std::uint16_t number, reader.get<std::uint16_t>());
  if (number == known.size()) {
    COFFER_TRY(const std::uint32_t text_bytes, reader.get<std::uint32_t>());
    COFFER_TRY(const ByteView text, reader.get_bytes(text_bytes));
    known.push_back(as_text(text));
  }
  if (number >= known.size()) return Error{Fault::corrupt, 0, "the redo log names a statement that it does not hold"};
  return known[number];
}

Result<RedoLog::Value> value_of(Reader& reader) {
  COFFER_TRY(const std::uint8_t kind, reader.get<std::uint8_t>());
  if (kind == static_cast<std::uint8_t>(Kind::integer)) {
    COFFER_TRY(const std::uint64_t value, reader.get<std::uint64_t>());
    return RedoLog::Value(static_cast<std::int64_t>(value));
  }
  if (kind != static_cast<std::uint8_t>(Kind::blob)) return Error{Fault::corrupt, 0, "the redo log holds an odd value"};
  COFFER_TRY(const std::uint32_t bytes, reader.get<std::uint32_t>());
  COFFER_TRY(const ByteView blob, reader.get_bytes(bytes));
  return RedoLog::Value(blob);
}

Result<void> run_operation(ByteView payload, std::vector<std::string_view>& known, const RedoLog::Run& run) {
  Reader reader(payload);
  std::vector<RedoLog::Value> values;
  while (!reader.rest().empty()) {
    COFFER_TRY(const std::string_view sql, statement_of(reader, known));
    COFFER_TRY(const std::uint8_t count, reader.get<std::uint8_t>());
    values.clear();
    for (unsigned i = 0; i < count; ++i) {
      COFFER_TRY(RedoLog::Value value, value_of(reader));
      values.push_back(value);
    }
    COFFER_DO(run(sql, values));
  }
  return {};
}

}  // namespace

RedoLog::RedoLog(std::unique_ptr<os::File> file) : file_(std::move(file)) { discard(); }

Result<std::unique_ptr<RedoLog>> RedoLog::open(os::Disk& disk, const std::string& path) {
  COFFER_TRY(std::unique_ptr<os::File> file, disk.open(path, os::Open::create));
  COFFER_DO(disk.sync_folder(std::filesystem::path(path).parent_path()));
  return std::unique_ptr<RedoLog>(new RedoLog(std::move(file)));
}

void RedoLog::begin(std::uint64_t generation) {
  generation_ = generation;
  end_ = 0;
  index_ = 0;
  discard();
  numbers_.clear();
}

bool RedoLog::has_room() const { return end_ + kUsualBytesMax <= kLogBytesMax; }

void RedoLog::add_statement(const char* sql, std::size_t value_count) {
  const auto [known, is_new] = numbers_.try_emplace(sql, static_cast<std::uint16_t>(numbers_.size()));
  Writer writer(record_);
  writer.put(known->second);
  if (is_new) {
    new_statements_.push_back(sql);
    const std::string_view text(sql);
    writer.put(static_cast<std::uint32_t>(text.size()));
    writer.put_bytes(as_bytes(text));
  }
  writer.put(static_cast<std::uint8_t>(value_count));
}

void RedoLog::put_integer(std::int64_t value) {
  Writer writer(record_);
  writer.put(static_cast<std::uint8_t>(Kind::integer));
  writer.put(static_cast<std::uint64_t>(value));
}

void RedoLog::put_blob(ByteView value) {
  Writer writer(record_);
  writer.put(static_cast<std::uint8_t>(Kind::blob));
  writer.put(static_cast<std::uint32_t>(value.size()));
  writer.put_bytes(value);
}

bool RedoLog::has_statements() const { return record_.size() > kHeaderBytes; }

Result<bool> RedoLog::append() {
  if (!has_statements()) return true;
  if (end_ + record_.size() > kLogBytesMax) {
    discard();
    return false;
  }
  Bytes header;
  Writer writer(header);
  writer.put(kMagic);
  writer.put(static_cast<std::uint32_t>(record_.size() - kHeaderBytes));
  writer.put(generation_);
  writer.put(index_);
  writer.put(checksum(header, ByteView(record_).subspan(kHeaderBytes)));
  std::ranges::copy(header, record_.begin());
  if (Result<void> written = file_->write_at(record_, end_); !written) {
    discard();
    return std::move(written).error().in("the tree's redo log");
  }
  end_ += record_.size();
  ++index_;
  new_statements_.clear();
  discard();
  return true;
}

Result<void> RedoLog::sync() {
  Result<void> synced = file_->sync();
  return synced ? std::move(synced) : std::move(synced).error().in("the tree's redo log");
}

void RedoLog::discard() {
  for (const char* sql : new_statements_) numbers_.erase(sql);
  new_statements_.clear();
  record_.assign(kHeaderBytes, std::byte{0});
}

Result<void> RedoLog::replay(std::uint32_t count_max, const Run& run) {
  COFFER_TRY(const std::uint64_t file_bytes, file_->size());
  Bytes log(std::min(file_bytes, kLogBytesMax));
  COFFER_TRY(const std::size_t read, file_->read_at(log, 0));
  log.resize(read);
  std::vector<std::string_view> known;
  ByteView rest = log;
  for (std::uint32_t index = 0; index < count_max; ++index) {
    const std::optional<Record> record = record_at(rest);
    if (!record || record->generation != generation_ || record->index != index) return {};
    COFFER_DO(run_operation(record->payload, known, run));
    rest = rest.subspan(kHeaderBytes + record->payload.size());
  }
  return {};
}

}  // namespace coffer::meta
