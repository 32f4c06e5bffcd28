// vpmaddubsw: 64 products, whose sums wait in 16 bits as in the kernels for short codes.
#include <immintrin.h>

#include "engine/kernels/peak/peak_loop-inl.h"
#include "engine/kernels/peak/peak_loops.h"

namespace mpq {

uint64_t PeakLoopAvx512(uint64_t rounds) {
  const __m512i ones = _mm512_set1_epi8(1);
  PeakLoop(
      ones, ones,
      [](auto sum, auto a, auto b) { return _mm512_add_epi16(sum, _mm512_maddubs_epi16(a, b)); },
      rounds);
  return rounds * kPeakSums * 64;
}

}  // namespace mpq
