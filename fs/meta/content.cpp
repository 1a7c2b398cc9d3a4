// Extents and pieces.
#include <algorithm>
#include <cerrno>
#include <iterator>

#include "common/base/limits.h"
#include "fs/meta/read.h"
#include "fs/meta/store.h"

namespace coffer::meta {
namespace {

/// The union of ranges in any order.
std::vector<Range> joined_ranges(std::vector<Range> ranges) {
  std::erase_if(ranges, [](const Range& range) { return range.begin >= range.end; });
  std::sort(ranges.begin(), ranges.end(), [](const Range& a, const Range& b) { return a.begin < b.begin; });
  std::vector<Range> joined;
  for (const Range& range : ranges) {
    if (!joined.empty() && range.begin <= joined.back().end) {
      joined.back().end = std::max(joined.back().end, range.end);
    } else {
      joined.push_back(range);
    }
  }
  return joined;
}

bool covers(const std::vector<Range>& joined, const Range& range) {
  const auto after = std::upper_bound(joined.begin(), joined.end(), range.begin,
                                      [](std::uint64_t begin, const Range& r) { return begin < r.begin; });
  return after != joined.begin() && std::prev(after)->end >= range.end;
}

Result<void> check(const Content& content) {
  std::uint64_t end = 0;
  for (const Extent& extent : content.extents) {
    if (extent.bytes == 0 || extent.at.value() < end) return answer(EINVAL);
    if (extent.at.value() > limits::kFileBytesMax - extent.bytes) return answer(EFBIG);
    end = extent.end().value();
  }
  return {};
}

}  // namespace

Result<void> Store::insert_extent(InodeId inode, const Extent& extent) {
  return connection_.run("INSERT INTO extent VALUES (?, ?, ?, ?, ?)", inode, extent.at, extent.bytes, extent.chunk,
                         extent.chunk_offset);
}

Result<void> Store::insert_extents(std::span<const ExtentOf> extents) {
  static const std::string kMany = insert_many("INSERT INTO extent", "(?, ?, ?, ?, ?)");
  if (extents.size() < kRowsAtOnce) {
    for (const auto& [inode, extent] : extents) COFFER_DO(insert_extent(inode, extent));
    return {};
  }
  return connection_.insert(kMany, extents, [](const ExtentOf& row, const auto& bind) {
    bind(row.inode, row.extent.at, row.extent.bytes, row.extent.chunk, row.extent.chunk_offset);
  });
}

Result<void> Store::cut(InodeId inode, const Range& range, Uses& uses, std::int64_t& allocated) {
  COFFER_TRY(const std::vector<Extent> met,
             read::extents(connection_, inode, FileOffset(range.begin), FileOffset(range.end)));
  for (const Extent& extent : met) {
    const std::uint64_t begin = std::max(extent.at.value(), range.begin);
    const std::uint64_t end = std::min(extent.end().value(), range.end);
    allocated -= static_cast<std::int64_t>(end - begin);
    if (begin > extent.at.value()) {
      COFFER_DO(connection_.run("UPDATE extent SET bytes = ?3 WHERE ino = ?1 AND at = ?2", inode, extent.at,
                                begin - extent.at.value()));
    } else {
      COFFER_DO(connection_.run("DELETE FROM extent WHERE ino = ? AND at = ?", inode, extent.at));
      --uses[extent.chunk];
    }
    if (end == extent.end().value()) continue;
    Extent rest = extent;
    rest.at = FileOffset(end);
    rest.bytes = static_cast<std::uint32_t>(extent.end().value() - end);
    rest.chunk_offset += static_cast<std::uint32_t>(end - extent.at.value());
    COFFER_DO(insert_extent(inode, rest));
    ++uses[extent.chunk];
  }
  return {};
}

Result<void> Store::truncate(Attributes& inode, std::uint64_t bytes) {
  if (bytes < inode.bytes) {
    const Range gone{bytes, inode.bytes};
    Uses uses;
    std::int64_t allocated = 0;
    COFFER_DO(cut(inode.inode, gone, uses, allocated));
    inode.allocated_bytes += allocated;
    counters_.bytes += allocated;
    COFFER_TRY(const std::int64_t unstored, count_uses(uses, inode.links > 0));
    COFFER_DO(add_unstored(inode.inode, unstored));
    // The file may grow again before it is drafted: then these bytes are zeros there too.
    if (inode.links > 0) COFFER_DO(owe_range(inode.inode, gone));
  }
  inode.bytes = bytes;
  return {};
}

Result<void> Store::put_piece(const PieceId& piece, const PieceAt& at) {
  if (pieces_of_load_) {
    pieces_of_load_->put(piece, at);
    return {};
  }
  return connection_.run("INSERT OR REPLACE INTO piece VALUES (?, ?, ?, ?)", piece, at.chunk, at.chunk_offset,
                         at.bytes);
}

Result<void> Store::check_in_chunks(std::span<const Extent> extents) {
  std::optional<ChunkRow> chunk;
  for (const Extent& extent : extents) {
    if (known_open_.contains(extent.chunk)) continue;
    if (!chunk || chunk->key != extent.chunk) {
      COFFER_TRY(chunk, read::chunk(connection_, extent.chunk));
    }
    if (chunk->state == ChunkState::open) continue;
    if (std::uint64_t{extent.chunk_offset} + extent.bytes > chunk->plain_bytes) return answer(EINVAL);
  }
  return {};
}

Result<Mark> Store::record(InodeId inode, const Content& content) {
  COFFER_DO(check(content));
  COFFER_TRY(Attributes row, read::attributes(connection_, inode));
  if (!read::is_file(row)) return answer(EINVAL);
  COFFER_DO(owe(row));

  std::vector<Range> changed = content.replaced;
  for (const Extent& extent : content.extents) changed.push_back({extent.at.value(), extent.end().value()});
  changed = joined_ranges(std::move(changed));
  Uses uses;
  std::int64_t allocated = 0;
  for (const Range& range : changed) {
    if (row.allocated_bytes > 0) COFFER_DO(cut(inode, range, uses, allocated));
    if (row.links > 0) COFFER_DO(owe_range(inode, range));
  }
  for (const Extent& extent : content.extents) {
    COFFER_DO(insert_extent(inode, extent));
    ++uses[extent.chunk];
    allocated += extent.bytes;
    row.bytes = std::max(row.bytes, extent.end().value());
    if (!extent.piece) continue;
    COFFER_DO(put_piece(*extent.piece, {extent.chunk, extent.chunk_offset, extent.bytes}));
  }
  COFFER_TRY(const std::int64_t unstored, count_uses(uses, row.links > 0));
  COFFER_DO(add_unstored(inode, unstored));
  COFFER_DO(check_in_chunks(content.extents));

  row.bytes = std::max(row.bytes, content.bytes);
  row.allocated_bytes += allocated;
  counters_.bytes += allocated;
  if (content.mtime_ns) {
    row.mtime_ns = *content.mtime_ns;
    row.ctime_ns = now_ns();
  }
  COFFER_DO(put_inode(row));
  return Mark(counters_.version);
}

void Store::use_up_keeps(const Content& content) {
  for (const Extent& extent : content.extents) keeps_.let_go({extent.chunk, extent.chunk_offset, extent.bytes});
  for (const Extent& extent : content.extents) {
    // An open chunk stays kept: more may be batched into it.
    if (!keeps_.has(extent.chunk) || known_open_.contains(extent.chunk)) continue;
    Result<ChunkRow> row = read::chunk(connection_, extent.chunk);
    if (row && row->state != ChunkState::open) keeps_.let_go(extent.chunk);
  }
}

Result<std::optional<PieceAt>> Store::find_piece(const PieceId& piece) {
  std::optional<PieceAt> found;
  {
    Rows rows = connection_.query(
        "SELECT p.chunk, p.chunk_offset, p.bytes FROM piece p JOIN chunk c ON c.key = p.chunk "
        "WHERE p.hash = ? AND c.flight <> 2",
        piece);
    COFFER_TRY(const bool any, rows.step());
    if (any) found = PieceAt{ChunkKey(rows.integer(0)), rows.u32(1), rows.u32(2)};
  }
  if (found) keeps_.keep(*found);
  return found;
}

Result<void> Store::forget_pieces(std::span<const ChunkKey> chunks) {
  for (const ChunkKey chunk : chunks) COFFER_DO(connection_.run("DELETE FROM piece WHERE chunk = ?", chunk));
  return {};
}

Result<std::vector<Range>> Store::live_ranges(ChunkKey chunk) {
  std::vector<Range> live = keeps_.ranges(chunk);
  COFFER_DO(for_each(connection_.query("SELECT e.chunk_offset, e.bytes FROM extent e WHERE e.chunk = ?", chunk),
                     [&](const Rows& row) {
                       live.push_back({row.u64(0), row.u64(0) + row.u64(1)});
                     }));
  live = joined_ranges(std::move(live));

  std::vector<Bytes> dead_pieces;
  COFFER_DO(for_each(connection_.query("SELECT hash, chunk_offset, bytes FROM piece WHERE chunk = ?", chunk),
                     [&](const Rows& row) {
                       const Range piece{row.u64(1), row.u64(1) + row.u64(2)};
                       if (!covers(live, piece)) dead_pieces.push_back(copy_of(row.blob(0)));
                     }));
  for (const Bytes& hash : dead_pieces) {
    COFFER_DO(connection_.run("DELETE FROM piece WHERE hash = ?", ByteView(hash)));
  }
  return live;
}

}  // namespace coffer::meta
