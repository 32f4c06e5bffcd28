// Depthwise micro-kernel for AVX-VNNI: 32 lanes, two outputs at a time.
#include <immintrin.h>

#include <cstdint>

#include "engine/kernels/depthwise_tile.h"

namespace mpq {

namespace {

// The four accumulators of an output: lanes 4j..4j+3 of every 16.
struct Sums {
  __m256i a, b, c, d;
};

inline __m256i Load(const void* memory) {
  return _mm256_load_si256(static_cast<const __m256i*>(memory));
}

inline Sums LoadSums(const void* memory) {
  const std::byte* bytes = static_cast<const std::byte*>(memory);
  return {Load(bytes), Load(bytes + 32), Load(bytes + 64), Load(bytes + 96)};
}

inline __m256i Shift(__m256i sum, const DepthwiseTile& tile, int i) {
  __m256i t = _mm256_srav_epi32(sum, Load(tile.params->right + 8 * i));
  if (tile.left_shifts) {  // 16 bits after saturation: 15 more fit
    t = _mm256_max_epi32(_mm256_min_epi32(t, _mm256_set1_epi32(32767)), _mm256_set1_epi32(-32768));
    t = _mm256_sllv_epi32(t, Load(tile.params->left + 8 * i));
  }
  return t;
}

// Two accumulators to 16-bit output steps including the zero point. Additions saturate where the
// code would saturate anyway.
inline __m256i OutputSteps(__m256i sum0, __m256i sum1, const DepthwiseTile& tile, int i) {
  const __m256i t = _mm256_packs_epi32(Shift(sum0, tile, 2 * i), Shift(sum1, tile, 2 * i + 1));
  const __m256i multiplier = Load(tile.params->multiplier + 16 * i);
  const __m256i shifted = _mm256_cmpeq_epi16(multiplier, _mm256_setzero_si256());
  const __m256i u = _mm256_mulhrs_epi16(t, multiplier);
  const __m256i scaled = _mm256_srai_epi16(_mm256_adds_epi16(u, _mm256_set1_epi16(32)), 6);
  return _mm256_adds_epi16(_mm256_blendv_epi8(scaled, t, shifted),
                           _mm256_set1_epi16(tile.zero_point));
}

// Packing undoes the interleaving: the codes are in the order of the lanes.
inline __m256i Codes(const Sums& sums, const DepthwiseTile& tile) {
  const __m256i codes = _mm256_packus_epi16(OutputSteps(sums.a, sums.b, tile, 0),
                                            OutputSteps(sums.c, sums.d, tile, 1));
  const __m256i code_lo = _mm256_set1_epi8(static_cast<char>(tile.code_lo));
  return _mm256_min_epu8(_mm256_max_epu8(codes, code_lo), Load(tile.params->code_hi));
}

inline void StoreChannels(uint8_t* dst, const uint8_t* codes, uint32_t channels) {
  if (channels >= 16) {
    __builtin_memcpy(dst, codes, 16);
    dst += 16;
    codes += 16;
    channels -= 16;
  }
  if (channels >= 8) {
    __builtin_memcpy(dst, codes, 8);
    dst += 8;
    codes += 8;
    channels -= 8;
  }
  for (uint32_t i = 0; i < channels; ++i) dst[i] = codes[i];
}

inline void StoreLanes(const DepthwiseTile& tile, uint32_t output, __m256i codes) {
  const size_t offset = output * tile.dst_stride;
  if (tile.channels == 32) {
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(tile.dst[0] + offset), codes);
    return;
  }
  alignas(32) uint8_t lanes[32];
  _mm256_store_si256(reinterpret_cast<__m256i*>(lanes), codes);
  StoreChannels(tile.dst[0] + offset, lanes, tile.channels);
  if (tile.rows == 2) StoreChannels(tile.dst[1] + offset, lanes + 16, tile.channels);
}

inline void MultiplyAdd(Sums& sums, const std::byte* values, const Sums& weights) {
  sums.a = _mm256_dpbusd_avx_epi32(sums.a, Load(values), weights.a);
  sums.b = _mm256_dpbusd_avx_epi32(sums.b, Load(values + 32), weights.b);
  sums.c = _mm256_dpbusd_avx_epi32(sums.c, Load(values + 64), weights.c);
  sums.d = _mm256_dpbusd_avx_epi32(sums.d, Load(values + 96), weights.d);
}

// Outputs [first, first + kOutputs), kOutputs 1 or 2.
template <int kOutputs>
inline void ComputeOutputs(const DepthwiseTile& tile, uint32_t first) {
  Sums sums0 = LoadSums(tile.params->start);
  Sums sums1 = sums0;
  const std::byte* weights = tile.weights;
  const std::byte* tap = tile.columns + first * tile.output_step;
  for (uint32_t kx = 0; kx < tile.kernel_w; ++kx) {
    const std::byte* values = tap;
    for (uint32_t group = 0; group < tile.groups; ++group) {
      const Sums w = LoadSums(weights);
      MultiplyAdd(sums0, values, w);
      if constexpr (kOutputs == 2) MultiplyAdd(sums1, values + tile.output_step, w);
      weights += 128;
      values += 128;
    }
    tap += tile.tap_step;
  }
  StoreLanes(tile, first, Codes(sums0, tile));
  if constexpr (kOutputs == 2) StoreLanes(tile, first + 1, Codes(sums1, tile));
}

}  // namespace

void ComputeDepthwiseAvxVnni(const DepthwiseTile& tile) {
  uint32_t i = 0;
  for (; i + 2 <= tile.outputs; i += 2) ComputeOutputs<2>(tile, i);
  for (; i < tile.outputs; ++i) ComputeOutputs<1>(tile, i);
}

}  // namespace mpq
