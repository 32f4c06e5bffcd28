// Depthwise micro-kernel for AVX2 and levels up to 64: sums of two products fit 16 bits (2 * 255 *
// 64 < 32768).
#include <immintrin.h>

namespace mpq {
namespace {

inline __m256i DotProduct(__m256i sums, __m256i values, __m256i weights) {
  const __m256i pairs = _mm256_maddubs_epi16(values, weights);
  return _mm256_add_epi32(sums, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
}

}  // namespace
}  // namespace mpq

#include "engine/kernels/depthwise_avx2-inl.h"

namespace mpq {

void ComputeDepthwiseAvx2(const DepthwiseTile& tile) { ComputeRow(tile); }

}  // namespace mpq
