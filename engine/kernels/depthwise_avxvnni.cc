// Depthwise micro-kernel for AVX-VNNI.
#include <immintrin.h>

namespace mpq {
namespace {

inline __m256i DotProduct(__m256i sums, __m256i values, __m256i weights) {
  return _mm256_dpbusd_avx_epi32(sums, values, weights);
}

}  // namespace
}  // namespace mpq

#include "engine/kernels/depthwise_avx2-inl.h"

namespace mpq {

void ComputeDepthwiseAvxVnni(const DepthwiseTile& tile) { ComputeRow(tile); }

}  // namespace mpq
