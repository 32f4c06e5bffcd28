// GEMM micro-kernel for AVX-512 VNNI: 14 positions x 32 channels, 28 accumulator registers, and the
// requantisation in registers too.
//
// Accumulators are named variables made by macros: g++ 12 keeps an array of 28 registers on the
// stack. kRows and kBlocks are constants, so unused ones vanish.
#include <immintrin.h>

#include <cstdint>

#include "engine/kernels/conv_gemm_codes_avx512-inl.h"
#include "engine/kernels/conv_gemm_micro.h"

namespace mpq {

namespace {

#define MPQ_FOR_ROWS(F) F(0) F(1) F(2) F(3) F(4) F(5) F(6) F(7) F(8) F(9) F(10) F(11) F(12) F(13)

inline __m512i BroadcastQuad(const uint8_t* quad) {
  int32_t value;
  __builtin_memcpy(&value, quad, sizeof value);
  return _mm512_set1_epi32(value);
}

template <int kRows, int kBlocks>
void ComputeTile(const GemmTile& tile) {
  constexpr bool kFewRows = kRows <= 3;
#define MPQ_DECLARE(i) __m512i a##i = _mm512_setzero_si512(), b##i = a##i;
  MPQ_FOR_ROWS(MPQ_DECLARE)
#undef MPQ_DECLARE

  if (tile.residual.codes != nullptr) {
    for (int i = 0; i < kRows; ++i) {
      _mm_prefetch(tile.residual.codes + i * tile.residual.stride, _MM_HINT_T0);
    }
  }

  if (tile.first) {
    const __m512i start0 = _mm512_load_si512(tile.channels[0].start);
    const __m512i start1 = _mm512_load_si512(tile.channels[kBlocks - 1].start);
#define MPQ_START(i) \
  if constexpr (i < kRows) a##i = start0, b##i = start1;
    MPQ_FOR_ROWS(MPQ_START)
#undef MPQ_START
  } else {
#define MPQ_LOAD_SUMS(i)                                                                     \
  if constexpr (i < kRows) {                                                                 \
    a##i = _mm512_load_si512(tile.sums + 16 * kBlocks * i);                                  \
    if constexpr (kBlocks == 2) b##i = _mm512_load_si512(tile.sums + 16 * kBlocks * i + 16); \
  }
    MPQ_FOR_ROWS(MPQ_LOAD_SUMS)
#undef MPQ_LOAD_SUMS
  }

  const int8_t* panel = static_cast<const int8_t*>(tile.panel);
  const uint8_t* const* rows = tile.rows;
  const size_t run_bytes = size_t{tile.quads_per_run} * 4;
  for (uint32_t run = 0; run < tile.num_runs; ++run, rows += kGemmMaxRows) {
#define MPQ_ROW_POINTER(i) const uint8_t* row##i = rows[i < kRows ? i : 0];
    MPQ_FOR_ROWS(MPQ_ROW_POINTER)
#undef MPQ_ROW_POINTER
    size_t k = 0;
// Row i's quad at byte `at` of the run, into accumulators j.
#define MPQ_MULTIPLY(i, j, at)                                                   \
  if constexpr (i < kRows) {                                                     \
    const __m512i quad = BroadcastQuad(row##i + (at));                           \
    a##j = _mm512_dpbusd_epi32(a##j, quad, levels0);                             \
    if constexpr (kBlocks == 2) b##j = _mm512_dpbusd_epi32(b##j, quad, levels1); \
  }
    if constexpr (kFewRows) {
      // Every second quad goes to accumulators of its own: else each instruction would wait for
      // the result of the one before.
      for (; k + 8 <= run_bytes; k += 8) {
        __m512i levels0 = _mm512_load_si512(panel);
        __m512i levels1 = _mm512_load_si512(panel + 64 * (kBlocks - 1));
        MPQ_MULTIPLY(0, 0, k)
        MPQ_MULTIPLY(1, 1, k)
        MPQ_MULTIPLY(2, 2, k)
        levels0 = _mm512_load_si512(panel + 64 * kBlocks);
        levels1 = _mm512_load_si512(panel + 64 * (2 * kBlocks - 1));
        MPQ_MULTIPLY(0, 4, k + 4)
        MPQ_MULTIPLY(1, 5, k + 4)
        MPQ_MULTIPLY(2, 6, k + 4)
        panel += 2 * 64 * kBlocks;
      }
    }
    for (; k < run_bytes; k += 4) {
      const __m512i levels0 = _mm512_load_si512(panel);
      const __m512i levels1 = _mm512_load_si512(panel + 64 * (kBlocks - 1));
      panel += 64 * kBlocks;
#define MPQ_MULTIPLY_ROW(i) MPQ_MULTIPLY(i, i, k)
      MPQ_FOR_ROWS(MPQ_MULTIPLY_ROW)
#undef MPQ_MULTIPLY_ROW
    }
#undef MPQ_MULTIPLY
  }
  if constexpr (kFewRows) {
#define MPQ_ADD_SUMS(i, j)             \
  a##i = _mm512_add_epi32(a##i, a##j); \
  b##i = _mm512_add_epi32(b##i, b##j);
    MPQ_ADD_SUMS(0, 4)
    MPQ_ADD_SUMS(1, 5)
    MPQ_ADD_SUMS(2, 6)
#undef MPQ_ADD_SUMS
  }

  if (!tile.last) {
#define MPQ_STORE_SUMS(i)                                                                    \
  if constexpr (i < kRows) {                                                                 \
    _mm512_store_si512(tile.sums + 16 * kBlocks * i, a##i);                                  \
    if constexpr (kBlocks == 2) _mm512_store_si512(tile.sums + 16 * kBlocks * i + 16, b##i); \
  }
    MPQ_FOR_ROWS(MPQ_STORE_SUMS)
#undef MPQ_STORE_SUMS
    return;
  }

  const Requantise r = LoadRequantise(tile);
  const uint32_t channels = tile.dst_channels;
  const size_t stride = tile.dst_stride;
  uint8_t* dst = tile.dst;
  if constexpr (kBlocks == 2) {
#define MPQ_STORE_TWO(i, j)                                                                       \
  if constexpr (i < kRows) {                                                                      \
    const __m512i codes = Codes(a##i, b##i, a##j, b##j, PairAddends(tile.residual, i, kRows), r); \
    StoreCodes(dst + i * stride, _mm512_castsi512_si256(codes), channels);                        \
    if constexpr (j < kRows)                                                                      \
      StoreCodes(dst + j * stride, _mm512_extracti64x4_epi64(codes, 1), channels);                \
  }
    MPQ_STORE_TWO(0, 1)
    MPQ_STORE_TWO(2, 3)
    MPQ_STORE_TWO(4, 5)
    MPQ_STORE_TWO(6, 7)
    MPQ_STORE_TWO(8, 9)
    MPQ_STORE_TWO(10, 11)
    MPQ_STORE_TWO(12, 13)
#undef MPQ_STORE_TWO
  } else {
#define MPQ_STORE_FOUR(i, j, k, l)                                                                \
  if constexpr (i < kRows) {                                                                      \
    const __m512i codes = Codes(a##i, a##j, a##k, a##l, QuadAddends(tile.residual, i, kRows), r); \
    StoreCodes(dst + i * stride, _mm512_castsi512_si128(codes), channels);                        \
    if constexpr (j < kRows)                                                                      \
      StoreCodes(dst + j * stride, _mm512_extracti32x4_epi32(codes, 1), channels);                \
    if constexpr (k < kRows)                                                                      \
      StoreCodes(dst + k * stride, _mm512_extracti32x4_epi32(codes, 2), channels);                \
    if constexpr (l < kRows)                                                                      \
      StoreCodes(dst + l * stride, _mm512_extracti32x4_epi32(codes, 3), channels);                \
  }
    // clang-format off
    MPQ_STORE_FOUR(0, 1, 2, 3)
    MPQ_STORE_FOUR(4, 5, 6, 7)
    MPQ_STORE_FOUR(8, 9, 10, 11)
    if constexpr (kRows == 13) {
      MPQ_STORE_FOUR(12, 13, 13, 13)
    } else if constexpr (kRows == 14) {
      const __m512i codes = Codes(a12, a13, a12, a13, QuadAddends(tile.residual, 12, kRows), r);
      StoreCodes(dst + 12 * stride, _mm512_castsi512_si128(codes), channels);
      StoreCodes(dst + 13 * stride, _mm512_extracti32x4_epi32(codes, 1), channels);
    }
    // clang-format on
#undef MPQ_STORE_FOUR
  }
}

using ComputeTileFunction = void (*)(const GemmTile& tile);
#define MPQ_BOTH_WIDTHS(i) {ComputeTile<i + 1, 1>, ComputeTile<i + 1, 2>},
constexpr ComputeTileFunction kComputeTile[][2] = {MPQ_FOR_ROWS(MPQ_BOTH_WIDTHS)};
#undef MPQ_BOTH_WIDTHS

void Compute(const GemmTile& tile) { kComputeTile[tile.num_rows - 1][tile.num_blocks - 1](tile); }

}  // namespace

const GemmMicroKernel kGemmAvx512Vnni = {
    14, 2, GemmPanel::kQuads8, kAnyLevel, DecodeTilesAvx512, Compute};

}  // namespace mpq
