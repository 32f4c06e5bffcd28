// pmaddubsw: 16 products, whose sums wait in 16 bits as in the kernels for short codes.
#include <immintrin.h>

#include "engine/kernels/peak/peak_loop-inl.h"
#include "engine/kernels/peak/peak_loops.h"

namespace mpq {

uint64_t PeakLoopSse4(uint64_t rounds) {
  const __m128i ones = _mm_set1_epi8(1);
  PeakLoop(
      ones, ones,
      [](auto sum, auto a, auto b) { return _mm_add_epi16(sum, _mm_maddubs_epi16(a, b)); }, rounds);
  return rounds * kPeakSums * 16;
}

}  // namespace mpq
