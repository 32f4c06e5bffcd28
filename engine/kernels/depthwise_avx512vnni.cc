// Depthwise micro-kernel for AVX-512 VNNI: 64 lanes, four outputs at a time.
//
// Accumulators are named variables: g++ 12 keeps arrays of them on the stack.
#include <immintrin.h>

#include <cstdint>

#include "engine/kernels/depthwise_tile.h"

namespace mpq {

namespace {

// The four accumulators of an output: lanes 4j..4j+3 of every 16.
struct Sums {
  __m512i a, b, c, d;
};

struct Requantise {
  __m512i right[4], left[4];
  __m512i multiplier[2];
  __mmask32 shifted[2];
  __m512i zero_point, code_lo, code_hi;
  bool left_shifts;

  explicit Requantise(const DepthwiseTile& tile) {
    const DepthwiseChannels& params = *tile.params;
    for (int i = 0; i < 4; ++i) {
      right[i] = _mm512_load_si512(params.right + 16 * i);
      left[i] = _mm512_load_si512(params.left + 16 * i);
    }
    for (int i = 0; i < 2; ++i) {
      multiplier[i] = _mm512_load_si512(params.multiplier + 32 * i);
      shifted[i] = _mm512_cmpeq_epi16_mask(multiplier[i], _mm512_setzero_si512());
    }
    zero_point = _mm512_set1_epi16(tile.zero_point);
    code_lo = _mm512_set1_epi8(static_cast<char>(tile.code_lo));
    code_hi = _mm512_load_si512(params.code_hi);
    left_shifts = tile.left_shifts;
  }
};

inline __m512i Shift(__m512i sum, const Requantise& r, int i) {
  __m512i t = _mm512_srav_epi32(sum, r.right[i]);
  if (r.left_shifts) {  // 16 bits after saturation: 15 more fit
    t = _mm512_max_epi32(_mm512_min_epi32(t, _mm512_set1_epi32(32767)), _mm512_set1_epi32(-32768));
    t = _mm512_sllv_epi32(t, r.left[i]);
  }
  return t;
}

// Two accumulators to 16-bit output steps including the zero point. Additions saturate where the
// code would saturate anyway.
inline __m512i OutputSteps(__m512i sum0, __m512i sum1, const Requantise& r, int i) {
  const __m512i t = _mm512_packs_epi32(Shift(sum0, r, 2 * i), Shift(sum1, r, 2 * i + 1));
  const __m512i u = _mm512_mulhrs_epi16(t, r.multiplier[i]);
  const __m512i scaled = _mm512_srai_epi16(_mm512_adds_epi16(u, _mm512_set1_epi16(32)), 6);
  return _mm512_adds_epi16(_mm512_mask_mov_epi16(scaled, r.shifted[i], t), r.zero_point);
}

// Packing undoes the interleaving: the codes are in the order of the lanes.
inline __m512i Codes(const Sums& sums, const Requantise& r) {
  const __m512i codes =
      _mm512_packus_epi16(OutputSteps(sums.a, sums.b, r, 0), OutputSteps(sums.c, sums.d, r, 1));
  return _mm512_min_epu8(_mm512_max_epu8(codes, r.code_lo), r.code_hi);
}

// Whole vectors are stored without a mask: masked stores are slower.
inline void StoreChannels(uint8_t* dst, __m512i codes, uint32_t channels) {
  if (channels == 64) {
    _mm512_storeu_si512(dst, codes);
  } else {
    _mm512_mask_storeu_epi8(dst, (uint64_t{1} << channels) - 1, codes);
  }
}

inline void StoreChannels(uint8_t* dst, __m256i codes, uint32_t channels) {
  if (channels == 32) {
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(dst), codes);
  } else {
    _mm256_mask_storeu_epi8(dst, (uint32_t{1} << channels) - 1, codes);
  }
}

inline void StoreChannels(uint8_t* dst, __m128i codes, uint32_t channels) {
  if (channels == 16) {
    _mm_storeu_si128(reinterpret_cast<__m128i*>(dst), codes);
  } else {
    _mm_mask_storeu_epi8(dst, static_cast<__mmask16>((1u << channels) - 1), codes);
  }
}

inline void StoreLanes(const DepthwiseTile& tile, uint32_t output, __m512i codes) {
  const size_t offset = output * tile.dst_stride;
  const uint32_t channels = tile.channels;
  if (tile.lane_rows == 1) return StoreChannels(tile.dst[0] + offset, codes, channels);
  if (tile.lane_rows == 2) {
    StoreChannels(tile.dst[0] + offset, _mm512_castsi512_si256(codes), channels);
    if (tile.rows < 2) return;
    StoreChannels(tile.dst[1] + offset, _mm512_extracti64x4_epi64(codes, 1), channels);
    return;
  }
  StoreChannels(tile.dst[0] + offset, _mm512_castsi512_si128(codes), channels);
  if (tile.rows < 2) return;
  StoreChannels(tile.dst[1] + offset, _mm512_extracti32x4_epi32(codes, 1), channels);
  if (tile.rows < 3) return;
  StoreChannels(tile.dst[2] + offset, _mm512_extracti32x4_epi32(codes, 2), channels);
  if (tile.rows < 4) return;
  StoreChannels(tile.dst[3] + offset, _mm512_extracti32x4_epi32(codes, 3), channels);
}

inline void MultiplyAdd(Sums& sums, const std::byte* values, const Sums& weights) {
  sums.a = _mm512_dpbusd_epi32(sums.a, _mm512_load_si512(values), weights.a);
  sums.b = _mm512_dpbusd_epi32(sums.b, _mm512_load_si512(values + 64), weights.b);
  sums.c = _mm512_dpbusd_epi32(sums.c, _mm512_load_si512(values + 128), weights.c);
  sums.d = _mm512_dpbusd_epi32(sums.d, _mm512_load_si512(values + 192), weights.d);
}

inline Sums LoadSums(const void* memory) {
  const std::byte* bytes = static_cast<const std::byte*>(memory);
  return {_mm512_load_si512(bytes), _mm512_load_si512(bytes + 64), _mm512_load_si512(bytes + 128),
          _mm512_load_si512(bytes + 192)};
}

// Outputs [first, first + kOutputs), kOutputs 1 or 4. kTaps x kGroups: kernel_w and groups of
// usual kernels, for which the loops are unrolled, or 0.
template <int kOutputs, uint32_t kTaps, uint32_t kGroups>
inline void ComputeOutputs(const DepthwiseTile& tile, const Requantise& r, uint32_t first) {
  Sums sums0 = LoadSums(tile.params->start);
  Sums sums1 = sums0;
  Sums sums2 = sums0;
  Sums sums3 = sums0;
  const size_t step = tile.output_step;
  const std::byte* weights = tile.weights;
  const std::byte* tap = tile.columns + first * step;
  const uint32_t taps = kTaps == 0 ? tile.kernel_w : kTaps;
  const uint32_t groups = kTaps == 0 ? tile.groups : kGroups;
#pragma GCC unroll 5
  for (uint32_t kx = 0; kx < taps; ++kx) {
    const std::byte* values = tap;
#pragma GCC unroll 2
    for (uint32_t group = 0; group < groups; ++group) {
      const Sums w = LoadSums(weights);
      MultiplyAdd(sums0, values, w);
      if constexpr (kOutputs == 4) {
        MultiplyAdd(sums1, values + step, w);
        MultiplyAdd(sums2, values + 2 * step, w);
        MultiplyAdd(sums3, values + 3 * step, w);
      }
      weights += 256;
      values += 256;
    }
    tap += tile.tap_step;
  }
  StoreLanes(tile, first, Codes(sums0, r));
  if constexpr (kOutputs == 4) {
    StoreLanes(tile, first + 1, Codes(sums1, r));
    StoreLanes(tile, first + 2, Codes(sums2, r));
    StoreLanes(tile, first + 3, Codes(sums3, r));
  }
}

template <uint32_t kTaps, uint32_t kGroups>
void Compute(const DepthwiseTile& tile) {
  const Requantise r(tile);
  uint32_t i = 0;
  for (; i + 4 <= tile.outputs; i += 4) ComputeOutputs<4, kTaps, kGroups>(tile, r, i);
  for (; i < tile.outputs; ++i) ComputeOutputs<1, kTaps, kGroups>(tile, r, i);
}

}  // namespace

void ComputeDepthwiseAvx512Vnni(const DepthwiseTile& tile) {
  if (tile.kernel_w == 3 && tile.groups == 1) {
    Compute<3, 1>(tile);
  } else if (tile.kernel_w == 5 && tile.groups == 2) {
    Compute<5, 2>(tile);
  } else {
    Compute<0, 0>(tile);
  }
}

}  // namespace mpq
