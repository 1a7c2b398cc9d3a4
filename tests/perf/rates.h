// What a benchmark costs for each byte, file or whatever else it handles, as a column beside Google Benchmark's own.
//
// It is of the time that the benchmark measures: CPU time, or with UseRealTime() and UseManualTime() that of a clock.
// MeasureProcessCPUTime() makes the column CPU that of all threads.
#pragma once

#include <benchmark/benchmark.h>

#include <cstdint>
#include <string>

namespace coffer::perf {

/// per(state, "byte", n) prints a_byte=1.2ns, where each iteration handles n bytes.
inline void per(benchmark::State& state, const char* what, std::uint64_t count_an_iteration = 1) {
  using benchmark::Counter;
  state.counters[std::string("a_") + what] =
      Counter(static_cast<double>(count_an_iteration), Counter::kIsIterationInvariantRate | Counter::kInvert);
}

}  // namespace coffer::perf
