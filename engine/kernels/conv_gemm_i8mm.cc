// GEMM micro-kernel for Arm's int8 matrix multiply: USMMLA multiplies 2 positions x 8 activations
// by 2 channels x 8 levels (Arm C Language Extensions, vusmmlaq_s32). 6 positions x 16 channels, 24
// accumulators.
#include <arm_neon.h>

#include <cstdint>

#include "engine/kernels/conv_gemm_codes_neon-inl.h"
#include "engine/kernels/conv_gemm_micro.h"

namespace mpq {

namespace {

constexpr int kMaxRows = 6;
constexpr int kChannelPairs = kGemmBlockChannels / 2;

inline uint8x8_t LoadQuad(const uint8_t* quad) {
  uint32_t value;
  __builtin_memcpy(&value, quad, sizeof value);
  return vreinterpret_u8_u64(vdup_n_u64(value));
}

// Sums of a pair of positions and a pair of channels: [position][channel].
inline int32x4_t LoadSums(const int32_t* row0, const int32_t* row1) {
  return vcombine_s32(vld1_s32(row0), vld1_s32(row1));
}

template <int kRows>
class Tile {
 public:
  static void Compute(const GemmTile& tile) {
    int32x4_t sums[kPairs][kChannelPairs];
    Start(tile, sums);
    const int8_t* panel = static_cast<const int8_t*>(tile.panel);
    const uint8_t* const* rows = tile.rows;
    for (uint32_t run = 0; run < tile.num_runs; ++run, rows += kGemmMaxRows) {
      const uint8_t* src[2 * kPairs];
      for (int i = 0; i < 2 * kPairs; ++i) src[i] = rows[Row(i)];
      size_t k = 0;
      uint32_t quads = tile.quads_per_run;
      for (; quads >= 2; quads -= 2, k += 8, panel += 128) {
        uint8x16_t activations[kPairs];
#pragma GCC unroll 3
        for (int p = 0; p < kPairs; ++p) {
          activations[p] = vcombine_u8(vld1_u8(src[2 * p] + k), vld1_u8(src[2 * p + 1] + k));
        }
#pragma GCC unroll 4
        for (int i = 0; i < 4; ++i)
          Multiply(sums, activations, i, Load(panel, i), Load(panel, 4 + i));
      }
      if (quads == 0) continue;
      uint8x16_t activations[kPairs];
#pragma GCC unroll 3
      for (int p = 0; p < kPairs; ++p) {
        activations[p] = vcombine_u8(LoadQuad(src[2 * p] + k), LoadQuad(src[2 * p + 1] + k));
      }
#pragma GCC unroll 4
      for (int i = 0; i < 4; ++i) Multiply(sums, activations, i, Load(panel, i), vdupq_n_s32(0));
      panel += 64;
    }
    Keep(tile, sums);
    if (tile.last) StoreBlock(tile, 0, kRows, kGemmBlockChannels);
  }

 private:
  static constexpr int kPairs = (kRows + 1) / 2;
  // An odd last row is paired with itself.
  static constexpr int Row(int i) { return i < kRows ? i : kRows - 1; }

  // A quad's levels of channels 4i..4i + 3, one in each lane.
  static int32x4_t Load(const int8_t* panel, int i) {
    return vreinterpretq_s32_s8(vld1q_s8(panel + 16 * i));
  }

  // By two quads of 4 channels: zipped, each pair of channels has 8 levels in a row.
  static inline void Multiply(int32x4_t (&sums)[kPairs][kChannelPairs],
                              const uint8x16_t (&activations)[kPairs], int i, int32x4_t quad0,
                              int32x4_t quad1) {
    const int8x16_t low = vreinterpretq_s8_s32(vzip1q_s32(quad0, quad1));
    const int8x16_t high = vreinterpretq_s8_s32(vzip2q_s32(quad0, quad1));
#pragma GCC unroll 3
    for (int p = 0; p < kPairs; ++p) {
      sums[p][2 * i] = vusmmlaq_s32(sums[p][2 * i], activations[p], low);
      sums[p][2 * i + 1] = vusmmlaq_s32(sums[p][2 * i + 1], activations[p], high);
    }
  }

  static void Start(const GemmTile& tile, int32x4_t (&sums)[kPairs][kChannelPairs]) {
#pragma GCC unroll 3
    for (int p = 0; p < kPairs; ++p) {
      const int32_t* start = tile.channels[0].start;
      const int32_t* row0 = tile.first ? start : tile.sums + Row(2 * p) * kGemmBlockChannels;
      const int32_t* row1 = tile.first ? start : tile.sums + Row(2 * p + 1) * kGemmBlockChannels;
#pragma GCC unroll 8
      for (int c = 0; c < kChannelPairs; ++c) sums[p][c] = LoadSums(row0 + 2 * c, row1 + 2 * c);
    }
  }

  static void Keep(const GemmTile& tile, const int32x4_t (&sums)[kPairs][kChannelPairs]) {
#pragma GCC unroll 3
    for (int p = 0; p < kPairs; ++p) {
      int32_t* row0 = tile.sums + Row(2 * p) * kGemmBlockChannels;
      int32_t* row1 = tile.sums + Row(2 * p + 1) * kGemmBlockChannels;
#pragma GCC unroll 8
      for (int c = 0; c < kChannelPairs; ++c) {
        vst1_s32(row0 + 2 * c, vget_low_s32(sums[p][c]));
        vst1_s32(row1 + 2 * c, vget_high_s32(sums[p][c]));
      }
    }
  }
};

using ComputeFunction = void (*)(const GemmTile& tile);
constexpr ComputeFunction kCompute[kMaxRows] = {Tile<1>::Compute, Tile<2>::Compute,
                                                Tile<3>::Compute, Tile<4>::Compute,
                                                Tile<5>::Compute, Tile<6>::Compute};

void Compute(const GemmTile& tile) { kCompute[tile.num_rows - 1](tile); }

}  // namespace

const GemmMicroKernel kGemmI8mm = {
    kMaxRows, 1, GemmPanel::kQuads8, kAnyLevel, DecodeTilesNeon, DescribeChannelsNeon, Compute};

}  // namespace mpq
