// A checksum at the end of every page of a database file, so that a flipped bit is an error and never an answer.
//
// SQLite itself notices damage to its structures alone; a changed value in a row it would hand out. This VFS lies
// between it and the default one. Of the 8 bytes that each page reserves (SQLITE_FCNTL_RESERVE_BYTES), it fills
//
//     at                bytes  field
//     page_bytes - 8    4      CRC-32 (RFC 1952) of the page's number, as 4 bytes, and all bytes before this field
//     page_bytes - 4    4      "CFRp"
//
// when a page is written into the database file, and checks them when one is read from it: SQLITE_IOERR_DATA, which is
// Fault::corrupt. The journal (WAL) has SQLite's own checksums. Where both fields are zeros there is no sum: the page
// was never written, or by a tool that copies databases without this VFS (`sqlite3 FILE ".backup COPY"`). A tool that
// changes pages without it leaves sums that do not fit. A database whose header reserves no bytes is read without sums.
// Integers are little-endian.
//
// And a sync that failed is never believed again. After fsync(2) has failed, Linux holds the pages that it could not
// write for written: the next fsync succeeds, and what it covers is not on the disk. SQLite with synchronous=NORMAL
// would sync its journal once more at the next checkpoint, and then write into the database what the journal on the
// disk does not have. So once a sync of an open file has failed, all later ones of it fail as well.
#pragma once

#include "common/base/bytes.h"

struct sqlite3;

namespace coffer::db {

inline constexpr int kPageSumBytes = 8;

/// The name of this VFS over `base` (null: SQLite's default), for sqlite3_open_v2(). Registers it at the first call;
/// thread-safe.
const char* page_sums_vfs(const char* base);
/// Before the first write of a database: its pages will have sums. Of one that has pages already, nothing changes.
void reserve_page_sums(sqlite3* db);
/// Whether a whole page is good, or has no sum. The first page has number 1.
bool has_good_sum(ByteView page, std::uint32_t number);

}  // namespace coffer::db
