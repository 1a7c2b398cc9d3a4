#include "common/object/ids.h"

#include <algorithm>

#include "common/base/text.h"

namespace coffer::object {

std::string short_hex(ByteView bytes) { return base::to_hex(bytes.first(std::min<std::size_t>(bytes.size(), 4))); }

}  // namespace coffer::object
