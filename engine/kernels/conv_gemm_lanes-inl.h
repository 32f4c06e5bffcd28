// GEMM micro-kernels written once for vectors of any width. Each instruction set's file defines a
// `V` with its operations, includes this and is compiled with its own flags; all is in an unnamed
// namespace, so nothing is shared between those files.
//
// V has
//   Reg, kLanes             a register and its 32-bit lanes (a block of 16 channels: 16 / kLanes)
//   Load(p), Store(p, r)    aligned
//   Zero(), Add32(a, b)
// and the operations that its Policy names. Beside V the file defines, before it includes this,
//   void StoreBlock(tile, block, num_rows, sums_stride)
// which turns the sums of one block into codes as GemmChannels says and writes them.
#include <cstddef>
#include <cstdint>

#include "engine/kernels/conv_gemm_micro.h"

namespace mpq {

namespace {

// How sums of products are formed, exactly, from quads of u8 activations and int8 or int16 levels:
//   Level          of the panel
//   kGroup         quads that Multiply takes at once
//   kLanesPerSum   2: a sum is kept in two neighbouring lanes until the end
//   kSigned        V::Broadcast takes 128 from the activations, as Arm multiplies s8 by s8; undone
//                  by subtracting the sums of a row of zeros

// One instruction multiplies and accumulates into 32 bits: V::Dot(sum, activations, levels).
template <class V>
struct DotPolicy {
  using Level = int8_t;
  static constexpr int kLanesPerSum = 1;
  static constexpr bool kSigned = V::kSigned;
  static constexpr uint32_t kGroup = 1;
  template <int kRegs>
  static inline void Multiply(typename V::Reg (&sums)[kRegs], const uint8_t* src,
                              const Level* panel, size_t) {
    const auto quad = V::Broadcast(src);
    for (int i = 0; i < kRegs; ++i) {
      sums[i] = V::Dot(sums[i], quad, V::Load(panel + i * V::kLanes * 4));
    }
  }
};

// V::PairSums(activations, levels) adds two products in 16 bits. kQuads of them are added before
// widening: the caller makes sure that kQuads * 2 * 255 * max_level <= 32767.
template <class V, int kQuads>
struct PairPolicy {
  using Level = int8_t;
  static constexpr int kLanesPerSum = 1;
  static constexpr bool kSigned = false;
  static constexpr uint32_t kGroup = kQuads;
  template <int kRegs>
  static inline void Multiply(typename V::Reg (&sums)[kRegs], const uint8_t* src,
                              const Level* panel, size_t quad_levels) {
    typename V::Reg pairs[kRegs];
    for (int q = 0; q < kQuads; ++q) {
      const typename V::Reg quad = V::Broadcast(src + 4 * q);
      for (int i = 0; i < kRegs; ++i) {
        const typename V::Reg pair = V::PairSums(quad, V::Load(panel + i * V::kLanes * 4));
        pairs[i] = q == 0 ? pair : V::Add16(pairs[i], pair);
      }
      panel += quad_levels;
    }
    for (int i = 0; i < kRegs; ++i) sums[i] = V::Add32(sums[i], V::WidenPairs(pairs[i]));
  }
};

// Levels beyond 64 on CPUs with nothing better: activations and levels in 16 bits.
template <class V>
struct WidePolicy {
  using Level = int16_t;
  static constexpr int kLanesPerSum = 2;
  static constexpr bool kSigned = false;
  static constexpr uint32_t kGroup = 1;
  template <int kRegs>
  static inline void Multiply(typename V::Reg (&sums)[kRegs], const uint8_t* src,
                              const Level* panel, size_t) {
    const typename V::Reg quad = V::BroadcastWide(src);
    for (int i = 0; i < kRegs; ++i) {
      sums[i] = V::Add32(sums[i], V::Multiply16(quad, V::Load(panel + i * V::kLanes * 2)));
    }
  }
};

constexpr uint8_t kZeroQuads[64] = {};

// One run of one tile: all its quads, in groups as far as they go. zero_sums: of a row of zeros.
template <class V, class Policy, class SinglePolicy, int kRows, int kRegs>
inline void MultiplyRun(typename V::Reg (&sums)[kRows][kRegs], typename V::Reg (&zero_sums)[kRegs],
                        const uint8_t* const* rows, uint32_t quads,
                        const typename Policy::Level*& panel, size_t quad_levels) {
  const uint8_t* src[kRows];
  for (int row = 0; row < kRows; ++row) src[row] = rows[row];
  size_t k = 0;
  uint32_t rest = quads;
  for (; rest >= Policy::kGroup; rest -= Policy::kGroup) {
    if constexpr (Policy::kSigned) Policy::Multiply(zero_sums, kZeroQuads, panel, quad_levels);
#pragma GCC unroll 16
    for (int row = 0; row < kRows; ++row) {
      Policy::Multiply(sums[row], src[row] + k, panel, quad_levels);
    }
    panel += Policy::kGroup * quad_levels;
    k += 4 * Policy::kGroup;
  }
  if constexpr (Policy::kGroup > 1) {
    for (; rest > 0; --rest) {
      if constexpr (Policy::kSigned) {
        SinglePolicy::Multiply(zero_sums, kZeroQuads, panel, quad_levels);
      }
#pragma GCC unroll 16
      for (int row = 0; row < kRows; ++row) {
        SinglePolicy::Multiply(sums[row], src[row] + k, panel, quad_levels);
      }
      panel += quad_levels;
      k += 4;
    }
  }
}

// kRows positions by kBlocks blocks.
template <class V, class Policy, class SinglePolicy, int kRows, int kBlocks>
void ComputeTile(const GemmTile& tile) {
  using Level = typename Policy::Level;
  constexpr bool kPairs = Policy::kLanesPerSum == 2;
  constexpr int kRegs =
      kBlocks * static_cast<int>(kGemmBlockChannels) / V::kLanes * Policy::kLanesPerSum;
  constexpr uint32_t kWidth = kBlocks * kGemmBlockChannels;
  // Where sums lie in pairs of lanes, what they start from is added when the pairs are.
  typename V::Reg sums[kRows][kRegs];
#pragma GCC unroll 16
  for (int row = 0; row < kRows; ++row) {
#pragma GCC unroll 16
    for (int i = 0; i < kRegs; ++i) {
      const int channel = i * V::kLanes;
      if constexpr (kPairs) {
        sums[row][i] = V::Zero();
      } else if (tile.first) {
        sums[row][i] = V::Load(tile.channels[channel / 16].start + channel % 16);
      } else {
        sums[row][i] = V::Load(tile.sums + row * kWidth + channel);
      }
    }
  }
  typename V::Reg zero_sums[kRegs];
#pragma GCC unroll 16
  for (int i = 0; i < kRegs; ++i) zero_sums[i] = V::Zero();
  const Level* panel = static_cast<const Level*>(tile.panel);
  for (uint32_t run = 0; run < tile.num_runs; ++run) {
    MultiplyRun<V, Policy, SinglePolicy, kRows, kRegs>(
        sums, zero_sums, tile.rows + run * kGemmMaxRows, tile.quads_per_run, panel, kWidth * 4);
  }
  if constexpr (Policy::kSigned) {
#pragma GCC unroll 16
    for (int row = 0; row < kRows; ++row) {
#pragma GCC unroll 16
      for (int i = 0; i < kRegs; ++i) sums[row][i] = V::Subtract32(sums[row][i], zero_sums[i]);
    }
  }
#pragma GCC unroll 16
  for (int row = 0; row < kRows; ++row) {
    int32_t* kept = tile.sums + row * kWidth;
    if constexpr (kPairs) {
#pragma GCC unroll 16
      for (int i = 0; i < kRegs / 2; ++i) {
        const int channel = i * V::kLanes;
        const int32_t* start =
            tile.first ? tile.channels[channel / 16].start + channel % 16 : kept + channel;
        const typename V::Reg sum = V::AddPairs(sums[row][2 * i], sums[row][2 * i + 1]);
        V::Store(kept + channel, V::Add32(V::Load(start), sum));
      }
    } else {
#pragma GCC unroll 16
      for (int i = 0; i < kRegs; ++i) V::Store(kept + i * V::kLanes, sums[row][i]);
    }
  }
  if (!tile.last) return;
  for (uint32_t block = 0; block < kBlocks; ++block) {
    StoreBlock(tile, block, kRows, kWidth);
  }
}

using ComputeTileFunction = void (*)(const GemmTile& tile);

// ComputeTile for 1..kMaxRows rows.
template <class V, class Policy, class SinglePolicy, int kMaxRows, int kBlocks>
inline void ComputeRows(const GemmTile& tile) {
  if constexpr (kMaxRows > 1) {
    if (tile.num_rows < kMaxRows) {
      return ComputeRows<V, Policy, SinglePolicy, kMaxRows - 1, kBlocks>(tile);
    }
  }
  ComputeTile<V, Policy, SinglePolicy, kMaxRows, kBlocks>(tile);
}

template <class V, class Policy, class SinglePolicy, int kMaxRows, int kMaxBlocks>
void ComputeAny(const GemmTile& tile) {
  if constexpr (kMaxBlocks > 1) {
    if (tile.num_blocks < kMaxBlocks) {
      return ComputeRows<V, Policy, SinglePolicy, kMaxRows, kMaxBlocks - 1>(tile);
    }
  }
  ComputeRows<V, Policy, SinglePolicy, kMaxRows, kMaxBlocks>(tile);
}

// By the number of pair sums that fit 16 bits. 1 of them always does where max_level <= 64.
template <class V, int kMaxRows, int kMaxBlocks>
void ComputePairs(const GemmTile& tile) {
  using Single = PairPolicy<V, 1>;
  static_assert(8 * 2 * 255 * 8 <= 32767 && 4 * 2 * 255 * 16 <= 32767 &&
                2 * 2 * 255 * 32 <= 32767 && 2 * 255 * 64 <= 32767);
  if (tile.max_level <= 8) {
    ComputeAny<V, PairPolicy<V, 8>, Single, kMaxRows, kMaxBlocks>(tile);
  } else if (tile.max_level <= 16) {
    ComputeAny<V, PairPolicy<V, 4>, Single, kMaxRows, kMaxBlocks>(tile);
  } else if (tile.max_level <= 32) {
    ComputeAny<V, PairPolicy<V, 2>, Single, kMaxRows, kMaxBlocks>(tile);
  } else {
    ComputeAny<V, Single, Single, kMaxRows, kMaxBlocks>(tile);
  }
}

template <class V, int kMaxRows, int kMaxBlocks>
void ComputeWide(const GemmTile& tile) {
  ComputeAny<V, WidePolicy<V>, WidePolicy<V>, kMaxRows, kMaxBlocks>(tile);
}

template <class V, int kMaxRows, int kMaxBlocks>
void ComputeDots(const GemmTile& tile) {
  ComputeAny<V, DotPolicy<V>, DotPolicy<V>, kMaxRows, kMaxBlocks>(tile);
}

}  // namespace

}  // namespace mpq
