#include "common/pack/walk.h"

#include <algorithm>
#include <array>
#include <optional>

#include "common/crypto/hash.h"
#include "common/pack/salvage.h"

namespace coffer::pack {
namespace {

/// Bytes that one search may hash. A payload full of forged headers could make it long; it gives up instead, and
/// what it has not searched is kept.
constexpr std::uint64_t kHashBudgetBytes = 1u << 30;
constexpr std::size_t kSearchBlockBytes = 1u << 20;

Result<std::optional<RecordHeader>> header_at(os::File& file, std::uint64_t offset, std::uint64_t to) {
  std::array<std::byte, kRecordHeaderBytes> bytes;
  if (to - offset < bytes.size()) return std::optional<RecordHeader>();
  const Result<std::size_t> got = file.read_at(bytes, offset);
  if (!got) return is_unreadable(got.error()) ? Result<std::optional<RecordHeader>>(std::nullopt) : got.error();
  std::optional<RecordHeader> header = decode_record_header(ByteView(bytes).first(*got));
  if (header && to - offset - bytes.size() < header->bytes) header.reset();
  return header;
}

class Search {
 public:
  Search(os::File& file, std::uint64_t to) : file_(file), to_(to) {}

  /// The first record at or behind `from`; nothing if there is none, or the budget is spent.
  Result<std::optional<std::uint64_t>> next(std::uint64_t from) {
    while (from + kRecordHeaderBytes <= to_ && !is_spent()) {
      const std::size_t wanted = static_cast<std::size_t>(std::min<std::uint64_t>(kSearchBlockBytes, to_ - from));
      COFFER_TRY(const Salvage block, salvage(file_, from, wanted));
      hides_some_ |= !block.is_whole;
      const std::string_view text = as_text(block.bytes);
      for (std::size_t at = text.find(kRecordMagic); at != text.npos; at = text.find(kRecordMagic, at + 1)) {
        COFFER_TRY(const bool found, is_record(from + at));
        if (found) return std::optional<std::uint64_t>(from + at);
      }
      if (text.size() < kRecordMagic.size()) break;
      from += text.size() - kRecordMagic.size() + 1;  // A magic may lie across two blocks.
    }
    return std::optional<std::uint64_t>();
  }

  bool is_spent() const { return hashed_bytes_ > kHashBudgetBytes; }
  /// What was searched may hold a record all the same: some of it could not be looked at.
  bool may_hide_one() const { return is_spent() || hides_some_; }

 private:
  Result<bool> is_record(std::uint64_t offset) {
    if (is_spent()) return false;
    COFFER_TRY(const std::optional<RecordHeader> header, header_at(file_, offset, to_));
    if (!header || header->removed) return false;
    hashed_bytes_ += header->bytes;
    const Result<bool> matches = payload_matches(file_, offset, *header);
    if (!matches && is_unreadable(matches.error())) {
      hides_some_ = true;
      return false;
    }
    return matches;
  }

  os::File& file_;
  const std::uint64_t to_;
  std::uint64_t hashed_bytes_ = 0;
  bool hides_some_ = false;
};

}  // namespace

Result<WalkEnd> walk(os::File& file, std::uint64_t from, std::uint64_t to,
                     const std::function<Result<void>(std::uint64_t, const RecordHeader&)>& visit) {
  WalkEnd end;
  end.offset = from;
  Search search(file, to);
  while (end.offset < to) {
    COFFER_TRY(const std::optional<RecordHeader> header, header_at(file, end.offset, to));
    if (header) {
      COFFER_DO(visit(end.offset, *header));
      end.offset += kRecordHeaderBytes + header->bytes;
      continue;
    }
    COFFER_TRY(const std::optional<std::uint64_t> next, search.next(end.offset + 1));
    if (!next && !search.may_hide_one()) {
      end.torn = true;
      return end;
    }
    const std::uint64_t gap_end = next.value_or(to);
    end.gaps.push_back({.offset = end.offset, .bytes = gap_end - end.offset});
    end.offset = gap_end;
  }
  return end;
}

Result<Bytes> read_payload(os::File& file, std::uint64_t record_offset, std::uint32_t bytes) {
  Bytes payload(bytes);
  COFFER_TRY(const std::size_t got, file.read_at(payload, record_offset + kRecordHeaderBytes));
  if (got < payload.size()) return Error{Fault::corrupt, 0, "pack ends within a record"};
  return payload;
}

Result<bool> payload_matches(os::File& file, std::uint64_t record_offset, const RecordHeader& header) {
  const Result<Bytes> payload = read_payload(file, record_offset, header.bytes);
  if (payload) return crypto::sha256(*payload) == header.id.array();
  if (payload.error().fault == Fault::corrupt) return false;
  return payload.error();
}

}  // namespace coffer::pack
