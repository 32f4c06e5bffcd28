// The end of a tile with AVX-512: accumulators to codes. Each micro-kernel's file compiles a copy
// of its own.
#ifndef MPQ_ENGINE_KERNELS_CONV_GEMM_CODES_AVX512_INL_H_
#define MPQ_ENGINE_KERNELS_CONV_GEMM_CODES_AVX512_INL_H_

#include <immintrin.h>

#include <cstdint>

#include "engine/kernels/conv_gemm_tile.h"

namespace mpq {

namespace {

// What turns four accumulators - two positions of two blocks, or four positions of one - into 64
// codes.
struct Requantise {
  __m512i right[2], left[2];  // of the even and of the odd accumulators
  __m512i multiplier;         // in the order of _mm512_packs_epi32
  __mmask32 shifted;
  __m512i rounding;  // half a code and the zero point, in 64ths
  __m512i zero_point, code_lo, code_hi;
  __m512i residual_multiplier, residual_offset;
  bool left_shifts, saturate_first;
};

// What a column's codes need. Nearly all do without the shifted form, clamps and saturation before
// a left shift. Short sums are shifted left, long ones right: with 4-bit weights most columns of
// MobileNets have left shifts only.
enum class Finish {
  kReluRight,  // zero point 0, no residual
  kReluLeft,
  kReluBoth,
  kPlain,  // no residual
  kResidual,
  kAny
};

constexpr bool IsRelu(Finish finish) {
  return finish == Finish::kReluRight || finish == Finish::kReluLeft || finish == Finish::kReluBoth;
}

inline Finish FinishOf(const GemmTile& tile, const Requantise& r) {
  const __mmask64 clamped = _mm512_cmplt_epu8_mask(r.code_hi, _mm512_set1_epi8(-1));
  if (r.shifted != 0 || tile.saturate_first || tile.code_lo > 0 || clamped != 0) {
    return Finish::kAny;
  }
  if (tile.residual.codes != nullptr) return Finish::kResidual;
  if (tile.zero_point != 0) return Finish::kPlain;
  if (!tile.left_shifts) return Finish::kReluRight;
  const __m512i right = _mm512_or_si512(r.right[0], r.right[1]);
  return _mm512_test_epi32_mask(right, right) == 0 ? Finish::kReluLeft : Finish::kReluBoth;
}

// [a b c d] by 128-bit lanes: the order of 4-byte groups after two packs, and back.
inline __m512i TransposeLanes(__m512i x) {
  return _mm512_permutexvar_epi32(
      _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15), x);
}

inline Requantise LoadRequantise(const GemmTile& tile) {
  const GemmChannels& even = tile.channels[0];
  const GemmChannels& odd = tile.channels[tile.num_blocks - 1];
  Requantise r;
  r.right[0] = _mm512_load_si512(even.right);
  r.right[1] = _mm512_load_si512(odd.right);
  r.left[0] = _mm512_load_si512(even.left);
  r.left[1] = _mm512_load_si512(odd.left);
  const __m256i even_multiplier =
      _mm256_load_si256(reinterpret_cast<const __m256i*>(even.multiplier));
  const __m256i odd_multiplier =
      _mm256_load_si256(reinterpret_cast<const __m256i*>(odd.multiplier));
  const __m512i multiplier =
      _mm512_inserti64x4(_mm512_castsi256_si512(even_multiplier), odd_multiplier, 1);
  r.multiplier = _mm512_permutexvar_epi64(_mm512_setr_epi64(0, 4, 1, 5, 2, 6, 3, 7), multiplier);
  r.shifted = _mm512_cmpeq_epi16_mask(r.multiplier, _mm512_setzero_si512());
  r.rounding = _mm512_set1_epi16(static_cast<int16_t>(32 + 64 * tile.zero_point));
  r.zero_point = _mm512_set1_epi16(tile.zero_point);
  r.code_lo = _mm512_set1_epi8(static_cast<char>(tile.code_lo));
  const __m128i even_hi = _mm_load_si128(reinterpret_cast<const __m128i*>(even.code_hi));
  const __m128i odd_hi = _mm_load_si128(reinterpret_cast<const __m128i*>(odd.code_hi));
  r.code_hi =
      _mm512_broadcast_i64x4(_mm256_inserti128_si256(_mm256_castsi128_si256(even_hi), odd_hi, 1));
  r.residual_multiplier = _mm512_set1_epi16(static_cast<int16_t>(tile.residual.multiplier));
  r.residual_offset = _mm512_set1_epi16(tile.residual.offset);
  r.left_shifts = tile.left_shifts;
  r.saturate_first = tile.saturate_first;
  return r;
}

template <Finish kFinish>
[[gnu::always_inline]] inline __m512i Shift(__m512i sum, int parity, const Requantise& r) {
  if constexpr (kFinish == Finish::kReluLeft) return _mm512_sllv_epi32(sum, r.left[parity]);
  __m512i t = _mm512_srav_epi32(sum, r.right[parity]);
  if constexpr (kFinish == Finish::kReluRight) return t;
  if (kFinish == Finish::kAny && !r.left_shifts) return t;
  if (kFinish == Finish::kAny && r.saturate_first) {
    t = _mm512_max_epi32(_mm512_min_epi32(t, _mm512_set1_epi32(32767)), _mm512_set1_epi32(-32768));
  }
  return _mm512_sllv_epi32(t, r.left[parity]);
}

// 64ths of a code that are added before rounding, in the order of _mm512_packus_epi16's operands.
struct Addends {
  __m512i first, second;
};

// Of the residual's 64 codes, in the order in which the result's will be stored.
inline Addends ResidualAddends(__m512i codes, const Requantise& r) {
  const __m512i packed = TransposeLanes(codes);
  __m512i zero = _mm512_setzero_si512();
  asm volatile("" : "+v"(zero));  // no register for it outside
  const auto addends = [&](__m512i high_bytes) {
    return _mm512_add_epi16(_mm512_mulhi_epu16(high_bytes, r.residual_multiplier),
                            r.residual_offset);
  };
  return {addends(_mm512_unpacklo_epi8(zero, packed)), addends(_mm512_unpackhi_epi8(zero, packed))};
}

inline const uint8_t* ResidualRow(const GemmResidual& residual, uint32_t row, uint32_t num_rows) {
  return residual.codes + (row < num_rows ? row : num_rows - 1) * residual.stride;
}

// For positions `row` and the next, of two blocks. Those from num_rows on repeat the last.
template <Finish kFinish = Finish::kAny>
[[gnu::always_inline]] inline Addends PairAddends(const GemmResidual& residual, uint32_t row,
                                                  uint32_t num_rows, const Requantise& r) {
  if constexpr (IsRelu(kFinish) || kFinish == Finish::kPlain) return {r.rounding, r.rounding};
  const __m512i half = _mm512_set1_epi16(32);
  if (kFinish == Finish::kAny && residual.codes == nullptr) return {half, half};
  const auto load = [&](uint32_t i) {
    return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(ResidualRow(residual, i, num_rows)));
  };
  const __m512i first = _mm512_castsi256_si512(load(row));
  return ResidualAddends(_mm512_inserti64x4(first, load(row + 1), 1), r);
}

// For positions `row` and the next three, of one block.
template <Finish kFinish = Finish::kAny>
[[gnu::always_inline]] inline Addends QuadAddends(const GemmResidual& residual, uint32_t row,
                                                  uint32_t num_rows, const Requantise& r) {
  if constexpr (IsRelu(kFinish) || kFinish == Finish::kPlain) return {r.rounding, r.rounding};
  const __m512i half = _mm512_set1_epi16(32);
  if (kFinish == Finish::kAny && residual.codes == nullptr) return {half, half};
  const auto load = [&](uint32_t i) {
    return _mm_loadu_si128(reinterpret_cast<const __m128i*>(ResidualRow(residual, i, num_rows)));
  };
  __m512i codes = _mm512_castsi128_si512(load(row));
  codes = _mm512_inserti32x4(codes, load(row + 1), 1);
  codes = _mm512_inserti32x4(codes, load(row + 2), 2);
  return ResidualAddends(_mm512_inserti32x4(codes, load(row + 3), 3), r);
}

// Two accumulators to 16-bit output steps including the zero point. Additions saturate where the
// code would saturate anyway.
template <Finish kFinish>
[[gnu::always_inline]] inline __m512i OutputSteps(__m512i even, __m512i odd, __m512i addends,
                                                  const Requantise& r) {
  const __m512i t = _mm512_packs_epi32(Shift<kFinish>(even, 0, r), Shift<kFinish>(odd, 1, r));
  const __m512i u = _mm512_mulhrs_epi16(t, r.multiplier);
  // (u * 2^9 + 2^14) >> 15 = (u + 32) >> 6
  if constexpr (IsRelu(kFinish)) return _mm512_mulhrs_epi16(u, _mm512_set1_epi16(1 << 9));
  const __m512i scaled = _mm512_srai_epi16(_mm512_adds_epi16(u, addends), 6);
  if constexpr (kFinish == Finish::kPlain) return scaled;
  if constexpr (kFinish == Finish::kResidual) return _mm512_adds_epi16(scaled, r.zero_point);
  return _mm512_adds_epi16(_mm512_mask_mov_epi16(scaled, r.shifted, t), r.zero_point);
}

template <Finish kFinish = Finish::kAny>
[[gnu::always_inline]] inline __m512i Codes(__m512i a, __m512i b, __m512i c, __m512i d,
                                            const Addends& addends, const Requantise& r) {
  const __m512i packed = _mm512_packus_epi16(OutputSteps<kFinish>(a, b, addends.first, r),
                                             OutputSteps<kFinish>(c, d, addends.second, r));
  const __m512i codes = TransposeLanes(packed);
  if constexpr (kFinish != Finish::kAny) return codes;
  return _mm512_min_epu8(_mm512_max_epu8(codes, r.code_lo), r.code_hi);
}

inline void StoreCodes(uint8_t* dst, __m256i codes, uint32_t channels) {
  if (channels == 32) {
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(dst), codes);
  } else {
    _mm256_mask_storeu_epi8(dst, (1u << channels) - 1, codes);
  }
}

inline void StoreCodes(uint8_t* dst, __m128i codes, uint32_t channels) {
  if (channels == 16) {
    _mm_storeu_si128(reinterpret_cast<__m128i*>(dst), codes);
  } else {
    _mm_mask_storeu_epi8(dst, static_cast<__mmask16>((1u << channels) - 1), codes);
  }
}

}  // namespace

}  // namespace mpq

#endif  // MPQ_ENGINE_KERNELS_CONV_GEMM_CODES_AVX512_INL_H_
