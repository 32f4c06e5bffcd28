// The measured limit of each instruction set: multiply-accumulates of a loop of independent
// instructions that touches no memory. Figures of kernels are stated as a share of it.
#ifndef MPQ_BENCH_PEAK_H_
#define MPQ_BENCH_PEAK_H_

#include <cstddef>

#include "engine/core/isa.h"

namespace mpq {

struct MultiplyPeak {
  Isa isa = Isa::kScalar;        // that was asked for
  const char* instruction = "";  // "vpdpbusd zmm"
  double macs_per_second = 0;    // of 8-bit codes on one thread; 0 = no loop for this set

  // The share of the peak of `threads` threads, in percent.
  double Percent(double rate, unsigned threads = 1) const {
    return macs_per_second > 0 ? 100 * rate / (macs_per_second * threads) : 0;
  }
};

// Takes about 0.1 s: the best of several short runs, with the instruction that is fastest where
// `isa` was chosen.
MultiplyPeak MeasurePeak(Isa isa);

// Bytes a second that one thread reads in order from a buffer of `bytes`, again and again: of a
// cache that holds it, or of the main memory.
double MeasureReadRate(size_t bytes);

}  // namespace mpq

#endif  // MPQ_BENCH_PEAK_H_
