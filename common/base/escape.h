// Text that someone else chose, for a line of a log or of a terminal.
#pragma once

#include <string>
#include <string_view>

namespace coffer::base {

/// `text` without what steers a terminal or ends a line: control characters (C0, DEL and C1) and bytes that are no
/// UTF-8 become "\n", "\t", "\r" or "\x1b" and so on. Each character of `also` gets a backslash before it: where that
/// has one, nothing looks like another text.
std::string escaped(std::string_view text, std::string_view also = "\\");

}  // namespace coffer::base
