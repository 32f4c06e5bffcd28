#include "bench/peak.h"

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <vector>

#include "engine/kernels/peak/peak_loops.h"

namespace mpq {

namespace {

struct Loop {
  Isa isa;
  const char* instruction;
  uint64_t (*run)(uint64_t rounds);
};

// Ascending, as Isa is. AMX has none: its share is of vpdpbusd and may pass 100 %.
constexpr Loop kLoops[] = {
#if defined(__x86_64__)
    {Isa::kSse4, "pmaddubsw xmm", PeakLoopSse4},
    {Isa::kAvx2, "vpmaddubsw ymm", PeakLoopAvx2},
    {Isa::kAvxVnni, "vpdpbusd ymm", PeakLoopAvxVnni},
    {Isa::kAvx512, "vpmaddubsw zmm", PeakLoopAvx512},
    {Isa::kAvx512Vnni, "vpdpbusd zmm", PeakLoopAvx512Vnni},
#elif defined(__aarch64__)
    {Isa::kNeon, "smlal", PeakLoopNeon},
    {Isa::kNeonDot, "sdot", PeakLoopNeonDot},
    {Isa::kI8mm, "smmla", PeakLoopI8mm},
#else
    {Isa::kScalar, "", nullptr},
#endif
};

constexpr int kRuns = 30;
constexpr uint64_t kRounds = 400000;  // a few ms: shorter than a scheduler's slice

using Clock = std::chrono::steady_clock;

// Several sums: one would be bound by the latency of additions.
uint64_t Sum(const std::vector<uint64_t>& words) {
  uint64_t sums[16] = {};
  for (size_t i = 0; i + 16 <= words.size(); i += 16) {
    for (size_t lane = 0; lane < 16; ++lane) sums[lane] += words[i + lane];
  }
  uint64_t sum = 0;
  for (const uint64_t part : sums) sum += part;
  return sum;
}

}  // namespace

MultiplyPeak MeasurePeak(Isa isa) {
  MultiplyPeak peak;
  peak.isa = isa;
  const Loop* chosen = nullptr;
  for (const Loop& loop : kLoops) {
    if (loop.run != nullptr && IsaIncludes(isa, loop.isa)) chosen = &loop;
  }
  if (chosen == nullptr) return peak;
  peak.instruction = chosen->instruction;
  for (int i = 0; i < kRuns; ++i) {
    const Clock::time_point start = Clock::now();
    const auto macs = static_cast<double>(chosen->run(kRounds));
    const double seconds = std::chrono::duration<double>(Clock::now() - start).count();
    peak.macs_per_second = std::max(peak.macs_per_second, macs / seconds);
  }
  return peak;
}

double MeasureReadRate(size_t bytes) {
  constexpr double kSeconds = 0.1;
  const std::vector<uint64_t> words(bytes / sizeof(uint64_t), 1);
  double best = 0;
  const Clock::time_point begin = Clock::now();
  Clock::time_point end = begin;
  while (std::chrono::duration<double>(end - begin).count() < kSeconds) {
    const Clock::time_point start = Clock::now();
    const uint64_t sum = Sum(words);
    asm volatile("" : : "r"(sum) : "memory");
    end = Clock::now();
    best = std::max(
        best, static_cast<double>(bytes) / std::chrono::duration<double>(end - start).count());
  }
  return best;
}

}  // namespace mpq
