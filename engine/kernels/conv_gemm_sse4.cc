// GEMM micro-kernels for SSSE3 + SSE4.1.
#include <immintrin.h>

#include <cstdint>

#include "engine/kernels/conv_gemm_tile.h"

namespace mpq {

namespace {

inline __m128i LoadLanes(const void* p) { return _mm_load_si128(static_cast<const __m128i*>(p)); }

// 2^exponent in each lane, exponents 0..31; 2^31 as -2^31. By way of float's exponent.
inline __m128i PowerOfTwo(__m128i exponent) {
  const __m128i bits = _mm_slli_epi32(_mm_add_epi32(exponent, _mm_set1_epi32(127)), 23);
  return _mm_cvttps_epi32(_mm_castsi128_ps(bits));
}

// sum >> right. There is no shift by lane before AVX2: multiplies by 2^(31 - right), and takes the
// product's bits from 31 on. 2^31 comes out negative, and so does its product.
inline __m128i ShiftRight(__m128i sum, __m128i right) {
  const __m128i factor = PowerOfTwo(_mm_sub_epi32(_mm_set1_epi32(31), right));
  const __m128i even = _mm_mul_epi32(sum, factor);
  const __m128i odd = _mm_mul_epi32(_mm_srli_epi64(sum, 32), _mm_srli_epi64(factor, 32));
  const __m128i result = _mm_blend_epi16(_mm_srli_epi64(even, 31), _mm_slli_epi64(odd, 1), 0xcc);
  const __m128i is_zero = _mm_cmpeq_epi32(right, _mm_setzero_si128());
  return _mm_sign_epi32(result, _mm_or_si128(is_zero, _mm_set1_epi32(1)));
}

// A quarter of a block: 4 sums after both shifts, before they saturate to 16 bits.
inline __m128i ShiftSums(const int32_t* sums, const GemmChannels& channels, uint32_t quarter,
                         bool left_shifts) {
  __m128i t = ShiftRight(LoadLanes(sums + 4 * quarter), LoadLanes(channels.right + 4 * quarter));
  if (left_shifts) {
    t = _mm_max_epi32(_mm_min_epi32(t, _mm_set1_epi32(32767)), _mm_set1_epi32(-32768));
    t = _mm_mullo_epi32(t, PowerOfTwo(LoadLanes(channels.left + 4 * quarter)));
  }
  return t;
}

// 64ths of a code that are added before rounding; `codes`: null or 8 codes of the residual.
inline __m128i Addends(const GemmResidual& residual, const uint8_t* codes) {
  if (codes == nullptr) return _mm_set1_epi16(32);
  const __m128i loaded = _mm_loadl_epi64(reinterpret_cast<const __m128i*>(codes));
  const __m128i high_bytes = _mm_unpacklo_epi8(_mm_setzero_si128(), loaded);
  const __m128i multiplier = _mm_set1_epi16(static_cast<int16_t>(residual.multiplier));
  return _mm_add_epi16(_mm_mulhi_epu16(high_bytes, multiplier), _mm_set1_epi16(residual.offset));
}

// Half a block: 8 output steps with the zero point. Additions saturate only where the code does.
inline __m128i OutputSteps(const int32_t* sums, const GemmChannels& channels, uint32_t half,
                           __m128i addends, const GemmTile& tile) {
  const __m128i t = _mm_packs_epi32(ShiftSums(sums, channels, 2 * half, tile.left_shifts),
                                    ShiftSums(sums, channels, 2 * half + 1, tile.left_shifts));
  const __m128i multiplier = LoadLanes(channels.multiplier + 8 * half);
  const __m128i u = _mm_mulhrs_epi16(t, multiplier);
  const __m128i scaled = _mm_srai_epi16(_mm_adds_epi16(u, addends), 6);
  const __m128i shifted = _mm_cmpeq_epi16(multiplier, _mm_setzero_si128());
  return _mm_adds_epi16(_mm_blendv_epi8(scaled, t, shifted), _mm_set1_epi16(tile.zero_point));
}

inline void StoreBlock(const GemmTile& tile, uint32_t block, uint32_t num_rows,
                       uint32_t sums_stride) {
  const GemmChannels& channels = tile.channels[block];
  const int32_t* sums = tile.sums + block * kGemmBlockChannels;
  uint8_t* dst = tile.dst + block * kGemmBlockChannels;
  const uint8_t* residual = tile.residual.codes;
  if (residual != nullptr) residual += block * kGemmBlockChannels;
  const uint32_t count = tile.dst_channels - block * kGemmBlockChannels;
  const __m128i lo = _mm_set1_epi8(static_cast<char>(tile.code_lo));
  for (uint32_t row = 0; row < num_rows; ++row) {
    const __m128i low = Addends(tile.residual, residual);
    const __m128i high = Addends(tile.residual, residual == nullptr ? nullptr : residual + 8);
    __m128i codes = _mm_packus_epi16(OutputSteps(sums, channels, 0, low, tile),
                                     OutputSteps(sums, channels, 1, high, tile));
    codes = _mm_min_epu8(_mm_max_epu8(codes, lo), LoadLanes(channels.code_hi));
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

#include "engine/kernels/conv_gemm_lanes-inl.h"

namespace mpq {

namespace {

struct Sse4 {
  using Reg = __m128i;
  static constexpr int kLanes = 4;
  static Reg Zero() { return _mm_setzero_si128(); }
  static Reg Load(const void* p) { return _mm_load_si128(static_cast<const Reg*>(p)); }
  static void Store(void* p, Reg r) { _mm_store_si128(static_cast<Reg*>(p), r); }
  static Reg Add16(Reg a, Reg b) { return _mm_add_epi16(a, b); }
  static Reg Add32(Reg a, Reg b) { return _mm_add_epi32(a, b); }
  static Reg Broadcast(const uint8_t* quad) {
    int32_t value;
    __builtin_memcpy(&value, quad, sizeof value);
    return _mm_set1_epi32(value);
  }
  static Reg BroadcastWide(const uint8_t* quad) { return _mm_cvtepu8_epi16(Broadcast(quad)); }
  static Reg PairSums(Reg activations, Reg levels) {
    return _mm_maddubs_epi16(activations, levels);
  }
  static Reg WidenPairs(Reg pairs) { return _mm_madd_epi16(pairs, _mm_set1_epi16(1)); }
  // a0+a1, a2+a3, ..., b0+b1, ...
  static Reg AddPairs(Reg a, Reg b) { return _mm_hadd_epi32(a, b); }
  static Reg Multiply16(Reg a, Reg b) { return _mm_madd_epi16(a, b); }
};

}  // namespace

const GemmMicroKernel kGemmSse4 = {3,
                                   1,
                                   GemmPanel::kQuads8,
                                   kMaxPairLevel,
                                   DecodeTilesSse4,
                                   DescribeChannelsSse4,
                                   ComputePairs<Sse4, 3, 1>};
const GemmMicroKernel kGemmWideSse4 = {1,
                                       1,
                                       GemmPanel::kQuads16,
                                       kAnyLevel,
                                       DecodeTilesSse4,
                                       DescribeChannelsSse4,
                                       ComputeWide<Sse4, 1, 1>};

}  // namespace mpq
