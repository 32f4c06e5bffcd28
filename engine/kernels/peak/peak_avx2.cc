// vpmaddubsw: 32 products, whose sums wait in 16 bits as in the kernels for short codes.
#include <immintrin.h>

#include "engine/kernels/peak/peak_loop-inl.h"
#include "engine/kernels/peak/peak_loops.h"

namespace mpq {

uint64_t PeakLoopAvx2(uint64_t rounds) {
  const __m256i ones = _mm256_set1_epi8(1);
  PeakLoop(
      ones, ones,
      [](auto sum, auto a, auto b) { return _mm256_add_epi16(sum, _mm256_maddubs_epi16(a, b)); },
      rounds);
  return rounds * kPeakSums * 32;
}

}  // namespace mpq
