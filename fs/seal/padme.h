// Padmé: rounds a length up so that it tells less (Nikitin, Barman, Lueks, Underwood, Hubaux and Ford 2019, "Reducing
// Metadata Leakage from Encrypted Files and Communication with PURBs", section 4.3).
#pragma once

#include <bit>
#include <cstdint>

namespace coffer::seal {

/// The least length at or above `bytes` whose binary form has at most ⌊log₂⌊log₂ bytes⌋⌋ + 1 digits behind its first
/// one before zeros begin. At most 12 % more, less for longer ones (3 % at 1 MiB). 0 and 1 stay as they are.
constexpr std::uint64_t padme(std::uint64_t bytes) {
  if (bytes < 2) return bytes;
  const unsigned exponent = static_cast<unsigned>(std::bit_width(bytes)) - 1;
  const unsigned kept_bits = static_cast<unsigned>(std::bit_width(exponent));
  if (kept_bits >= exponent) return bytes;
  const std::uint64_t mask = (std::uint64_t{1} << (exponent - kept_bits)) - 1;
  return (bytes + mask) & ~mask;
}

}  // namespace coffer::seal
