// The end of a tile with AVX2: sums to codes. For the micro-kernels of all instruction sets that
// contain AVX2 and have no better way; each compiles a copy of its own.
#ifndef MPQ_ENGINE_KERNELS_CONV_GEMM_CODES_AVX2_INL_H_
#define MPQ_ENGINE_KERNELS_CONV_GEMM_CODES_AVX2_INL_H_

#include <immintrin.h>

#include <cstdint>

#include "engine/kernels/conv_gemm_tile.h"

namespace mpq {

namespace {

inline __m256i LoadLanes(const void* p) {
  return _mm256_load_si256(static_cast<const __m256i*>(p));
}

// Half a block: 8 sums after both shifts, before they saturate to 16 bits.
inline __m256i ShiftSums(const int32_t* sums, const GemmChannels& channels, uint32_t half,
                         bool left_shifts) {
  __m256i t = _mm256_srav_epi32(LoadLanes(sums + 8 * half), LoadLanes(channels.right + 8 * half));
  if (left_shifts) {
    t = _mm256_max_epi32(_mm256_min_epi32(t, _mm256_set1_epi32(32767)), _mm256_set1_epi32(-32768));
    t = _mm256_sllv_epi32(t, LoadLanes(channels.left + 8 * half));
  }
  return t;
}

// 64ths of a code that are added before rounding, with a residual of 16 codes.
inline __m256i ResidualAddends(const GemmResidual& residual, const uint8_t* codes) {
  const __m256i high = _mm256_slli_epi16(
      _mm256_cvtepu8_epi16(_mm_loadu_si128(reinterpret_cast<const __m128i*>(codes))), 8);
  const __m256i multiplier = _mm256_set1_epi16(static_cast<int16_t>(residual.multiplier));
  return _mm256_add_epi16(_mm256_mulhi_epu16(high, multiplier), _mm256_set1_epi16(residual.offset));
}

// Additions of 16-bit steps saturate only where the code does as well. `residual`: null or 16
// codes.
inline __m128i Codes(const int32_t* sums, const GemmChannels& channels, const GemmTile& tile,
                     const uint8_t* residual) {
  const __m256i packed = _mm256_packs_epi32(ShiftSums(sums, channels, 0, tile.left_shifts),
                                            ShiftSums(sums, channels, 1, tile.left_shifts));
  const __m256i t = _mm256_permute4x64_epi64(packed, 0xd8);  // packs works in 128-bit lanes
  const __m256i multiplier = LoadLanes(channels.multiplier);
  const __m256i u = _mm256_mulhrs_epi16(t, multiplier);
  const __m256i addends =
      residual == nullptr ? _mm256_set1_epi16(32) : ResidualAddends(tile.residual, residual);
  const __m256i scaled = _mm256_srai_epi16(_mm256_adds_epi16(u, addends), 6);
  const __m256i shifted = _mm256_cmpeq_epi16(multiplier, _mm256_setzero_si256());
  const __m256i steps =
      _mm256_adds_epi16(_mm256_blendv_epi8(scaled, t, shifted), _mm256_set1_epi16(tile.zero_point));
  const __m128i codes =
      _mm_packus_epi16(_mm256_castsi256_si128(steps), _mm256_extracti128_si256(steps, 1));
  const __m128i hi = _mm_load_si128(reinterpret_cast<const __m128i*>(channels.code_hi));
  return _mm_min_epu8(_mm_max_epu8(codes, _mm_set1_epi8(static_cast<char>(tile.code_lo))), hi);
}

inline void StoreBlock(const GemmTile& tile, uint32_t block, uint32_t num_rows,
                       uint32_t sums_stride) {
  const GemmChannels& channels = tile.channels[block];
  const int32_t* sums = tile.sums + block * kGemmBlockChannels;
  uint8_t* dst = tile.dst + block * kGemmBlockChannels;
  const uint8_t* residual = tile.residual.codes;
  if (residual != nullptr) residual += block * kGemmBlockChannels;
  const uint32_t count = tile.dst_channels - block * kGemmBlockChannels;
  for (uint32_t row = 0; row < num_rows; ++row) {
    const __m128i codes = Codes(sums, channels, tile, residual);
    if (count >= kGemmBlockChannels) {
      _mm_storeu_si128(reinterpret_cast<__m128i*>(dst), codes);
    } else {
      alignas(16) uint8_t part[kGemmBlockChannels];
      _mm_store_si128(reinterpret_cast<__m128i*>(part), codes);
      for (uint32_t i = 0; i < count; ++i) dst[i] = part[i];
    }
    sums += sums_stride;
    dst += tile.dst_stride;
    if (residual != nullptr) residual += tile.residual.stride;
  }
}

}  // namespace

}  // namespace mpq

#endif  // MPQ_ENGINE_KERNELS_CONV_GEMM_CODES_AVX2_INL_H_
