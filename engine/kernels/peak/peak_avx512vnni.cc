// vpdpbusd: 64 products.
#include <immintrin.h>

#include "engine/kernels/peak/peak_loop-inl.h"
#include "engine/kernels/peak/peak_loops.h"

namespace mpq {

uint64_t PeakLoopAvx512Vnni(uint64_t rounds) {
  const __m512i ones = _mm512_set1_epi8(1);
  PeakLoop(
      ones, ones, [](auto sum, auto a, auto b) { return _mm512_dpbusd_epi32(sum, a, b); }, rounds);
  return rounds * kPeakSums * 64;
}

}  // namespace mpq
