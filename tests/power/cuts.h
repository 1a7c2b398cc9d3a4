// How the tests of power cuts go through a scenario.
//
// A scenario is run on a SimDisk whose power goes at its first call, then on a new one at the second, and so on, until
// it ends before the cut. After each it is looked at what the disk kept. COFFER_LONG=N tries every call with N seeds;
// without it a few calls are left out, other ones with each seed.
#pragma once

#include <gtest/gtest.h>

#include <cstdint>
#include <cstdlib>
#include <iostream>
#include <string>

#include "tests/testing/sim_disk.h"

namespace coffer::power {

inline unsigned long_seeds() {
  const char* const given = std::getenv("COFFER_LONG");  // NOLINT(concurrency-mt-unsafe): before any thread.
  return given == nullptr ? 0 : static_cast<unsigned>(std::atoi(given));
}

struct ShortForm {
  unsigned seeds;
  unsigned step;  ///< Every so many calls one is tried.
};

/// `try_one(disk, call, seed)` runs the scenario with the power going at `call` of `disk`; it returns whether the power
/// was cut before the scenario ended.
template <class TryOne>
void cut_everywhere(const ShortForm& short_form, TryOne try_one) {
  const unsigned seeds = long_seeds() > 0 ? long_seeds() : short_form.seeds;
  const unsigned step = long_seeds() > 0 ? 1 : short_form.step;
  std::uint64_t cuts = 0;
  for (unsigned seed = 1; seed <= seeds; ++seed) {
    bool was_cut = true;
    for (std::uint64_t call = 1 + seed % step; was_cut; call += step) {
      SCOPED_TRACE(::testing::Message() << "seed " << seed << ", power cut at disk call " << call);
      was_cut = try_one(call, seed);
      ++cuts;
      if (::testing::Test::HasFailure()) return;
    }
  }
  ::testing::Test::RecordProperty("cuts", std::to_string(cuts));
  if (long_seeds() > 0) std::cout << "[   CUTS   ] " << cuts << "\n";
}

/// The same with the first sync failing, then the second, and so on. `try_one` returns whether one has failed.
template <class TryOne>
void fail_every_sync(const ShortForm& short_form, TryOne try_one) {
  cut_everywhere(short_form, try_one);
}

}  // namespace coffer::power
