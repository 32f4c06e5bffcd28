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

// Where the 14 positions of a tile read a run: three pointers and two distances, which x86
// addresses combine to all of them, instead of 14 pointers that do not fit the registers.
struct Positions {
  const uint8_t *p0, *p5, *p10;
  ptrdiff_t step, step3;

  Positions(const uint8_t* first, ptrdiff_t distance)
      : p0(first),
        p5(first + 5 * distance),
        p10(first + 10 * distance),
        step(distance),
        step3(3 * distance) {}

  // Keeps compilers from computing 14 pointers ahead of the loop.
  void Hide() { asm("" : "+r"(p0), "+r"(p5), "+r"(p10), "+r"(step), "+r"(step3)); }
  void Advance(ptrdiff_t bytes) {
    p0 += bytes;
    p5 += bytes;
    p10 += bytes;
  }

  template <int kPosition>
  const uint8_t* At() const {
    constexpr int i = kPosition;
    if constexpr (i == 0) return p0;
    if constexpr (i == 1 || i == 2 || i == 4 || i == 8) return p0 + i * step;
    if constexpr (i == 3 || i == 6 || i == 12) return p0 + i / 3 * step3;
    if constexpr (i == 5) return p5;
    if constexpr (i == 7 || i == 9 || i == 13) return p5 + (i - 5) * step;
    if constexpr (i == 11) return p5 + 2 * step3;
    if constexpr (i == 10) return p10;
  }
};

template <int kRows, int kBlocks, Finish kFinish>
inline void ComputeTile(const GemmTile& tile, const GemmSweep& sweep, const Requantise& column,
                        const GemmResidual& tile_residual, const uint8_t* src, uint8_t* dst,
                        int32_t* sums) {
  constexpr bool kFewRows = kRows <= 3;
#define MPQ_DECLARE(i) __m512i a##i = _mm512_setzero_si512(), b##i = a##i;
  MPQ_FOR_ROWS(MPQ_DECLARE)
#undef MPQ_DECLARE

  if ((kFinish == Finish::kResidual || kFinish == Finish::kAny) && tile_residual.codes != nullptr) {
    for (int i = 0; i < kRows; ++i) {
      _mm_prefetch(tile_residual.codes + i * tile_residual.stride, _MM_HINT_T0);
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
#define MPQ_LOAD_SUMS(i)                                                                \
  if constexpr (i < kRows) {                                                            \
    a##i = _mm512_load_si512(sums + 16 * kBlocks * i);                                  \
    if constexpr (kBlocks == 2) b##i = _mm512_load_si512(sums + 16 * kBlocks * i + 16); \
  }
    MPQ_FOR_ROWS(MPQ_LOAD_SUMS)
#undef MPQ_LOAD_SUMS
  }

  const int8_t* panel = static_cast<const int8_t*>(tile.panel);
  const ptrdiff_t run_bytes = ptrdiff_t{tile.quads_per_run} * 4;
  for (uint32_t run = 0; run < tile.num_runs; ++run) {
    const uint8_t* first = src + sweep.run_offsets[run];
    const uint8_t* end = first + run_bytes;
    Positions at(first, sweep.step);
// Position i's quad `ahead` bytes on, into accumulators j.
#define MPQ_MULTIPLY(i, j, ahead)                                                \
  if constexpr (i < kRows) {                                                     \
    const __m512i quad = BroadcastQuad(at.At<i>() + (ahead));                    \
    a##j = _mm512_dpbusd_epi32(a##j, quad, levels0);                             \
    if constexpr (kBlocks == 2) b##j = _mm512_dpbusd_epi32(b##j, quad, levels1); \
  }
    if constexpr (kFewRows) {
      // Every second quad goes to accumulators of its own: else each instruction would wait for
      // the result of the one before.
      for (; at.p0 + 8 <= end; at.Advance(8)) {
        at.Hide();
        __m512i levels0 = _mm512_load_si512(panel);
        __m512i levels1 = _mm512_load_si512(panel + 64 * (kBlocks - 1));
        MPQ_MULTIPLY(0, 0, 0)
        MPQ_MULTIPLY(1, 1, 0)
        MPQ_MULTIPLY(2, 2, 0)
        levels0 = _mm512_load_si512(panel + 64 * kBlocks);
        levels1 = _mm512_load_si512(panel + 64 * (2 * kBlocks - 1));
        MPQ_MULTIPLY(0, 4, 4)
        MPQ_MULTIPLY(1, 5, 4)
        MPQ_MULTIPLY(2, 6, 4)
        panel += 2 * 64 * kBlocks;
      }
    }
    for (; at.p0 != end; at.Advance(4)) {
      at.Hide();
      const __m512i levels0 = _mm512_load_si512(panel);
      const __m512i levels1 = _mm512_load_si512(panel + 64 * (kBlocks - 1));
      panel += 64 * kBlocks;
#define MPQ_MULTIPLY_ROW(i) MPQ_MULTIPLY(i, i, 0)
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
#define MPQ_STORE_SUMS(i)                                                               \
  if constexpr (i < kRows) {                                                            \
    _mm512_store_si512(sums + 16 * kBlocks * i, a##i);                                  \
    if constexpr (kBlocks == 2) _mm512_store_si512(sums + 16 * kBlocks * i + 16, b##i); \
  }
    MPQ_FOR_ROWS(MPQ_STORE_SUMS)
#undef MPQ_STORE_SUMS
    return;
  }

  // Read anew for every tile: compilers keep them in registers otherwise, and what the innermost
  // loop needs on the stack.
  const Requantise* r_address = &column;
  const GemmResidual* residual_address = &tile_residual;
  asm volatile("" : "+r"(r_address), "+r"(residual_address) : : "memory");
  const Requantise& r = *r_address;
  const GemmResidual& residual = *residual_address;
  const uint32_t channels = tile.dst_channels;
  const size_t stride = tile.dst_stride;
  if constexpr (kBlocks == 2) {
#define MPQ_STORE_TWO(i, j)                                                                     \
  if constexpr (i < kRows) {                                                                    \
    const __m512i codes =                                                                       \
        Codes<kFinish>(a##i, b##i, a##j, b##j, PairAddends<kFinish>(residual, i, kRows, r), r); \
    StoreCodes(dst + i * stride, _mm512_castsi512_si256(codes), channels);                      \
    if constexpr (j < kRows)                                                                    \
      StoreCodes(dst + j * stride, _mm512_extracti64x4_epi64(codes, 1), channels);              \
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
#define MPQ_STORE_FOUR(i, j, k, l)                                                              \
  if constexpr (i < kRows) {                                                                    \
    const __m512i codes =                                                                       \
        Codes<kFinish>(a##i, a##j, a##k, a##l, QuadAddends<kFinish>(residual, i, kRows, r), r); \
    StoreCodes(dst + i * stride, _mm512_castsi512_si128(codes), channels);                      \
    if constexpr (j < kRows)                                                                    \
      StoreCodes(dst + j * stride, _mm512_extracti32x4_epi32(codes, 1), channels);              \
    if constexpr (k < kRows)                                                                    \
      StoreCodes(dst + k * stride, _mm512_extracti32x4_epi32(codes, 2), channels);              \
    if constexpr (l < kRows)                                                                    \
      StoreCodes(dst + l * stride, _mm512_extracti32x4_epi32(codes, 3), channels);              \
  }
    // clang-format off
    MPQ_STORE_FOUR(0, 1, 2, 3)
    MPQ_STORE_FOUR(4, 5, 6, 7)
    MPQ_STORE_FOUR(8, 9, 10, 11)
    if constexpr (kRows == 13) {
      MPQ_STORE_FOUR(12, 13, 13, 13)
    } else if constexpr (kRows == 14) {
      const __m512i codes = Codes<kFinish>(a12, a13, a12, a13, QuadAddends<kFinish>(residual, 12, kRows, r), r);
      StoreCodes(dst + 12 * stride, _mm512_castsi512_si128(codes), channels);
      StoreCodes(dst + 13 * stride, _mm512_extracti32x4_epi32(codes, 1), channels);
    }
    // clang-format on
#undef MPQ_STORE_FOUR
  }
}

template <int kRows, int kBlocks, Finish kFinish>
void SweepTiles(const GemmTile& tile, const GemmSweep& sweep, const Requantise& r) {
  GemmResidual residual = tile.residual;
  const ptrdiff_t src_step = kRows * sweep.step;
  int32_t* sums = tile.sums;
  for (uint32_t line = 0; line < sweep.lines; ++line) {
    const size_t position = size_t{line} * sweep.line_positions;
    const uint8_t* src = sweep.src + line * sweep.line_step;
    uint8_t* dst = tile.dst + position * tile.dst_stride;
    if (residual.codes != nullptr)
      residual.codes = tile.residual.codes + position * residual.stride;
    for (uint32_t i = 0; i < sweep.tiles; ++i) {
      ComputeTile<kRows, kBlocks, kFinish>(tile, sweep, r, residual, src, dst, sums);
      src += src_step;
      dst += kRows * tile.dst_stride;
      if (residual.codes != nullptr) residual.codes += kRows * residual.stride;
      sums += kRows * kBlocks * kGemmBlockChannels;
    }
  }
}

template <int kRows, int kBlocks>
void SweepColumn(const GemmTile& tile, const GemmSweep& sweep) {
  const Requantise r = LoadRequantise(tile);
  switch (FinishOf(tile, r)) {
    case Finish::kReluRight:
      return SweepTiles<kRows, kBlocks, Finish::kReluRight>(tile, sweep, r);
    case Finish::kReluLeft:
      return SweepTiles<kRows, kBlocks, Finish::kReluLeft>(tile, sweep, r);
    case Finish::kReluBoth:
      return SweepTiles<kRows, kBlocks, Finish::kReluBoth>(tile, sweep, r);
    case Finish::kPlain:
      return SweepTiles<kRows, kBlocks, Finish::kPlain>(tile, sweep, r);
    case Finish::kResidual:
      return SweepTiles<kRows, kBlocks, Finish::kResidual>(tile, sweep, r);
    case Finish::kAny:
      return SweepTiles<kRows, kBlocks, Finish::kAny>(tile, sweep, r);
  }
}

using SweepFunction = void (*)(const GemmTile& tile, const GemmSweep& sweep);
#define MPQ_BOTH_WIDTHS(i) {SweepColumn<i + 1, 1>, SweepColumn<i + 1, 2>},
constexpr SweepFunction kSweepColumn[][2] = {MPQ_FOR_ROWS(MPQ_BOTH_WIDTHS)};
#undef MPQ_BOTH_WIDTHS

void Sweep(const GemmTile& tile, const GemmSweep& sweep) {
  kSweepColumn[tile.num_rows - 1][tile.num_blocks - 1](tile, sweep);
}

}  // namespace

const GemmMicroKernel kGemmAvx512Vnni = {
    .rows = 14,
    .blocks = 2,
    .panel = GemmPanel::kQuads8,
    .max_level = kAnyLevel,
    .decode = DecodeTilesAvx512,
    .describe = DescribeChannelsAvx512,
    .sweep = Sweep,
};

}  // namespace mpq
