// Golden vectors: tests/vectors/FOLDER/cases.txt holds a case a line, fields between spaces, '#' before comments.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "common/base/bytes.h"

namespace coffer::testing {

/// The fields of every case. A file that cannot be read fails the test and gives none.
std::vector<std::vector<std::string>> read_cases(const std::string& path);

/// Bytes as a case describes them; a Python reader makes them as easily:
///
///     hex:0a0b           these bytes; "hex:" is none
///     repeat:00:1000     one byte so many times
///     lines:1000         "line 0\n", "line 1\n", "line 2\n" … cut off after so many bytes
///     noise:7:1000       so many bytes of xorshift64* (Vigna 2016) begun at 7: x ^= x >> 12; x ^= x << 25; x ^= x >>
///     27;
///                        and then the eight bytes, little-endian, of x * 2685821657736338717 mod 2^64
Bytes make_plain(std::string_view description);

}  // namespace coffer::testing
