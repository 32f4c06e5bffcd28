// vpdpbusd, VEX-coded: 32 products.
#include <immintrin.h>

#include "engine/kernels/peak/peak_loop-inl.h"
#include "engine/kernels/peak/peak_loops.h"

namespace mpq {

uint64_t PeakLoopAvxVnni(uint64_t rounds) {
  const __m256i ones = _mm256_set1_epi8(1);
  PeakLoop(
      ones, ones, [](auto sum, auto a, auto b) { return _mm256_dpbusd_avx_epi32(sum, a, b); },
      rounds);
  return rounds * kPeakSums * 32;
}

}  // namespace mpq
