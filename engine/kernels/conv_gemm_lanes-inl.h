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

// One quad of every row: two products of each lane are added in 16 bits.
template <class V, int kRows, int kRegs>
inline void AddPairs(typename V::Reg (&pairs)[kRows][kRegs], const uint8_t* const (&src)[kRows],
                     size_t k, const int8_t* panel) {
  typename V::Reg levels[kRegs];
#pragma GCC unroll 16
  for (int i = 0; i < kRegs; ++i) levels[i] = V::Load(panel + i * V::kLanes * 4);
#pragma GCC unroll 16
  for (int row = 0; row < kRows; ++row) {
    const typename V::Reg quad = V::Broadcast(src[row] + k);
#pragma GCC unroll 16
    for (int i = 0; i < kRegs; ++i) {
      pairs[row][i] = V::Add16(pairs[row][i], V::PairSums(quad, levels[i]));
      // Row after row: g++ 12 would load all quads first and keep sums on the stack.
      asm volatile("" : "+v"(pairs[row][i]));
    }
  }
}

// kRows positions by kBlocks blocks, without an instruction that adds to 32 bits: as many products
// as fit are added in 16 bits, in registers; the sums they belong to stay in memory meanwhile.
template <class V, int kRows, int kBlocks>
void ComputePairTile(const GemmTile& tile) {
  constexpr uint32_t kWidth = kBlocks * kGemmBlockChannels;
  constexpr int kRegs = static_cast<int>(kWidth) / V::kLanes;
  // Quads until 16 bits are full: V::PairSums adds up to 2 * 255 * max_level for each.
  const uint32_t full = 32767 / (2 * 255 * tile.max_level);
  if (tile.first) {
    for (int i = 0; i < kRows * kBlocks; ++i) {
      const auto& start = tile.channels[i % kBlocks].start;
      __builtin_memcpy(tile.sums + i * kGemmBlockChannels, start, sizeof start);
    }
  }
  const int8_t* panel = static_cast<const int8_t*>(tile.panel);
  for (uint32_t run = 0; run < tile.num_runs; ++run) {
    const uint8_t* src[kRows];
    for (int row = 0; row < kRows; ++row) src[row] = tile.rows[run * kGemmMaxRows + row];
    size_t k = 0;
    for (uint32_t rest = tile.quads_per_run; rest > 0;) {
      const uint32_t quads = rest < full ? rest : full;
      typename V::Reg pairs[kRows][kRegs];
#pragma GCC unroll 32
      for (int i = 0; i < kRows * kRegs; ++i) pairs[i / kRegs][i % kRegs] = V::Zero();
      for (uint32_t q = 0; q < quads; ++q) {
        AddPairs<V, kRows, kRegs>(pairs, src, k, panel);
        k += 4;
        panel += kWidth * 4;
      }
#pragma GCC unroll 32
      for (int i = 0; i < kRows * kRegs; ++i) {
        int32_t* sum = tile.sums + i * V::kLanes;
        V::Store(sum, V::Add32(V::Load(sum), V::WidenPairs(pairs[i / kRegs][i % kRegs])));
      }
      rest -= quads;
    }
  }
  if (!tile.last) return;
  for (uint32_t block = 0; block < kBlocks; ++block) StoreBlock(tile, block, kRows, kWidth);
}

// For 1..kMaxRows rows and 1..kMaxBlocks blocks.
template <class V, int kMaxRows, int kMaxBlocks>
void ComputePairs(const GemmTile& tile) {
  if constexpr (kMaxBlocks > 1) {
    if (tile.num_blocks < kMaxBlocks) return ComputePairs<V, kMaxRows, kMaxBlocks - 1>(tile);
  }
  if constexpr (kMaxRows > 1) {
    if (tile.num_rows < kMaxRows) return ComputePairs<V, kMaxRows - 1, kMaxBlocks>(tile);
  }
  ComputePairTile<V, kMaxRows, kMaxBlocks>(tile);
}

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
