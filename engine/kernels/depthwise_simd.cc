// The parts of the depthwise micro-kernels that Highway serves: interleaving for all of them, and
// multiplication in 16 bits for instruction sets without dot products.
#include <algorithm>
#include <cstring>

#include "engine/kernels/depthwise_micro.h"
#include "engine/kernels/highway_targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "engine/kernels/depthwise_simd.cc"
#include "hwy/foreach_target.h"  // IWYU pragma: keep
// After foreach_target.h:
#include "engine/kernels/requantize-inl.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace mpq {
namespace HWY_NAMESPACE {

#if MPQ_TARGET_HAS_VECTORS

namespace hn = hwy::HWY_NAMESPACE;

// ------------------------------ Interleaving

// [16][4] -> [4][16]
void Transpose(const int8_t* tile, int8_t* planes, size_t plane_stride) {
  const hn::CappedTag<int8_t, 16> d;
  hn::Vec<decltype(d)> a, b, c, e;
  hn::LoadInterleaved4(d, tile, a, b, c, e);
  hn::StoreU(a, d, planes);
  hn::StoreU(b, d, planes + plane_stride);
  hn::StoreU(c, d, planes + 2 * plane_stride);
  hn::StoreU(e, d, planes + 3 * plane_stride);
}

// Four taps of a lane become neighbouring bytes: register j of the four holds the lanes 4j..4j+3 of
// every 16.
void InterleaveQuadLevels(const int8_t* const* taps, std::byte* dst) {
  const hn::ScalableTag<int8_t> d;
  const hn::Repartition<int16_t, decltype(d)> d16;
  const size_t size = hn::Lanes(d);
  const auto a = hn::LoadU(d, taps[0]);
  const auto b = hn::LoadU(d, taps[1]);
  const auto c = hn::LoadU(d, taps[2]);
  const auto e = hn::LoadU(d, taps[3]);
  const auto ab_lower = hn::BitCast(d16, hn::InterleaveLower(d, a, b));
  const auto ab_upper = hn::BitCast(d16, hn::InterleaveUpper(d, a, b));
  const auto ce_lower = hn::BitCast(d16, hn::InterleaveLower(d, c, e));
  const auto ce_upper = hn::BitCast(d16, hn::InterleaveUpper(d, c, e));
  int8_t* out = reinterpret_cast<int8_t*>(dst);
  hn::Store(hn::BitCast(d, hn::InterleaveLower(d16, ab_lower, ce_lower)), d, out);
  hn::Store(hn::BitCast(d, hn::InterleaveUpper(d16, ab_lower, ce_lower)), d, out + size);
  hn::Store(hn::BitCast(d, hn::InterleaveLower(d16, ab_upper, ce_upper)), d, out + 2 * size);
  hn::Store(hn::BitCast(d, hn::InterleaveUpper(d16, ab_upper, ce_upper)), d, out + 3 * size);
}

// 16-bit multiplication. kPairVectors vectors of 16-bit lanes make at least a block of channels.
constexpr uint32_t kPairVectorLanes = hn::MaxLanes(hn::ScalableTag<int16_t>());
constexpr uint32_t kPairVectors = kPairVectorLanes < 16 ? 16 / kPairVectorLanes : 1;
constexpr uint32_t kPairLanes = kPairVectorLanes * kPairVectors;
constexpr size_t kGroupBytes = size_t{kPairLanes} * 4;

// Two taps of a lane, widened. x86 multiplies and adds neighbours, so they are interleaved: first
// the lanes 0..3 of every 8, then 4..7. NEON widens while multiplying: one tap after the other.
template <typename T>
HWY_INLINE void InterleavePair(const T* tap0, const T* tap1, std::byte* dst) {
  const hn::ScalableTag<int16_t> d;
  const hn::Rebind<T, decltype(d)> d8;
  int16_t* out = reinterpret_cast<int16_t*>(dst);
  for (uint32_t v = 0; v < kPairVectors; ++v) {
    const auto a = hn::PromoteTo(d, hn::LoadU(d8, tap0 + v * kPairVectorLanes));
    const auto b = hn::PromoteTo(d, hn::LoadU(d8, tap1 + v * kPairVectorLanes));
#if HWY_ARCH_X86
    hn::Store(hn::InterleaveLower(d, a, b), d, out);
    hn::Store(hn::InterleaveUpper(d, a, b), d, out + kPairVectorLanes);
#else
    hn::Store(a, d, out);
    hn::Store(b, d, out + kPairVectorLanes);
#endif
    out += 2 * kPairVectorLanes;
  }
}

void InterleavePairLevels(const int8_t* const* taps, std::byte* dst) {
  InterleavePair(taps[0], taps[1], dst);
}

// ------------------------------ Multiplication

using D16 = hn::ScalableTag<int16_t>;
using D32 = hn::RepartitionToWide<D16>;
using V16 = hn::Vec<D16>;
using V32 = hn::Vec<D32>;

// sum0, sum1: the lanes of one 16-bit vector, in the order in which ReorderDemote2To packs them.
HWY_INLINE void MultiplyAddPairs(const int16_t* values, V16 weights0, V16 weights1, V32& sum0,
                                 V32& sum1) {
  const D16 d16;
  const D32 d32;
  const V16 values0 = hn::Load(d16, values);
  const V16 values1 = hn::Load(d16, values + kPairVectorLanes);
#if HWY_ARCH_X86
  V32 unused = hn::Zero(d32);  // pmaddwd needs one sum only
  sum0 = hn::ReorderWidenMulAccumulate(d32, values0, weights0, sum0, unused);
  sum1 = hn::ReorderWidenMulAccumulate(d32, values1, weights1, sum1, unused);
#else
  sum0 = hn::ReorderWidenMulAccumulate(d32, values0, weights0, sum0, sum1);
  sum0 = hn::ReorderWidenMulAccumulate(d32, values1, weights1, sum0, sum1);
#endif
}

HWY_INLINE void CopyChannels(uint8_t* dst, const uint8_t* src, uint32_t channels) {
  if (channels == 16) {
    std::memcpy(dst, src, 16);
    return;
  }
  if (channels & 8) {
    std::memcpy(dst, src, 8);
    dst += 8;
    src += 8;
  }
  for (uint32_t i = 0; i < (channels & 7); ++i) dst[i] = src[i];
}

HWY_INLINE void StoreLanes(uint8_t* dst, const uint8_t* lanes, uint32_t channels) {
  if (channels > 16) {
    std::memcpy(dst, lanes, 16);
    dst += 16;
    lanes += 16;
    channels -= 16;
  }
  CopyChannels(dst, lanes, channels);
}

// Interleaved columns of the outputs from `first` on.
struct Columns {
  std::byte* memory;
  size_t output_step;  // bytes to the first column of the next output
  size_t tap_step;     // bytes to the next column of the same output
  uint32_t first;
  uint32_t outputs;
};

// Outputs [first, first + kOutputs) of the columns.
template <uint32_t kOutputs>
HWY_INLINE void ComputeOutputs(const DepthwiseTile& tile, const Columns& columns, uint32_t first) {
  const D16 d16;
  const D32 d32;
  const hn::Rebind<uint8_t, D16> d8;
  const DepthwiseChannels& params = *tile.params;
  V32 sums[kOutputs][kPairVectors][2];
  for (uint32_t v = 0; v < kPairVectors; ++v) {
    const int32_t* start = params.start + v * kPairVectorLanes;
    for (uint32_t i = 0; i < kOutputs; ++i) {
      sums[i][v][0] = hn::Load(d32, start);
      sums[i][v][1] = hn::Load(d32, start + kPairVectorLanes / 2);
    }
  }
  const int16_t* weights = reinterpret_cast<const int16_t*>(tile.weights);
  for (uint32_t group = 0; group < tile.groups; ++group) {
    const std::byte* column = columns.memory + group * kGroupBytes + first * columns.output_step;
    for (uint32_t kx = 0; kx < tile.kernel_w; ++kx) {
      for (uint32_t v = 0; v < kPairVectors; ++v) {
        const V16 weights0 = hn::Load(d16, weights);
        const V16 weights1 = hn::Load(d16, weights + kPairVectorLanes);
        weights += 2 * kPairVectorLanes;
        for (uint32_t i = 0; i < kOutputs; ++i) {
          const int16_t* values =
              reinterpret_cast<const int16_t*>(column + i * columns.output_step) +
              2 * kPairVectorLanes * v;
          MultiplyAddPairs(values, weights0, weights1, sums[i][v][0], sums[i][v][1]);
        }
      }
      column += columns.tap_step;
    }
  }
  HWY_ALIGN uint8_t lanes[kOutputs][kPairLanes];
  for (uint32_t v = 0; v < kPairVectors; ++v) {
    const uint32_t lane = v * kPairVectorLanes;
    const Requantization<D16> requantization(params.right + lane, params.left + lane,
                                             params.multiplier + lane, tile.zero_point,
                                             params.left_shifts);
    const auto code_lo = hn::Set(d8, tile.code_lo);
    const auto code_hi = hn::Load(d8, params.code_hi + lane);
    for (uint32_t i = 0; i < kOutputs; ++i) {
      const auto codes = hn::DemoteTo(d8, requantization.Codes(sums[i][v][0], sums[i][v][1]));
      hn::Store(hn::Min(hn::Max(codes, code_lo), code_hi), d8, lanes[i] + lane);
    }
  }
  for (uint32_t i = 0; i < kOutputs; ++i) {
    StoreLanes(tile.dst + (columns.first + first + i) * tile.dst_stride, lanes[i], tile.channels);
  }
}

// `columns` source columns from column x on.
void InterleaveColumns(const DepthwiseTile& tile, int64_t x, size_t columns) {
  const size_t column_bytes = tile.groups * kGroupBytes;
  HWY_ALIGN uint8_t padding[kPairLanes];
  std::memset(padding, tile.src_zero_point, sizeof padding);
  for (uint32_t group = 0; group < tile.groups; ++group) {
    std::byte* dst = tile.scratch + group * kGroupBytes;
    const uint8_t* const* line = tile.line + 2 * group;
    for (size_t i = 0; i < columns; ++i) {
      const int64_t column = x + static_cast<int64_t>(i);
      if (column >= 0 && column < tile.src_width) {
        const size_t offset = static_cast<size_t>(column) * tile.src_step;
        InterleavePair(line[0] + offset, line[1] + offset, dst);
      } else {
        InterleavePair(padding, padding, dst);
      }
      dst += column_bytes;
    }
  }
}

uint64_t WindowWidth(const Window& window) {
  return uint64_t{window.kernel_w - 1} * window.dilation_w + 1;
}

// Outputs that are computed at a time: their columns should stay in L1.
uint32_t StretchOutputs(const Window& window, uint32_t outputs) {
  constexpr size_t kColumnsBytes = 20 * 1024;
  const uint64_t groups = (window.kernel_h + 1) / 2;
  const uint64_t columns =
      std::max<uint64_t>(WindowWidth(window), kColumnsBytes / (groups * kGroupBytes));
  return static_cast<uint32_t>(
      std::min<uint64_t>((columns - WindowWidth(window)) / window.stride_w + 1, outputs));
}

size_t ColumnsOf(const Window& window, uint32_t outputs) {
  return size_t{outputs - 1} * window.stride_w + WindowWidth(window);
}

size_t PairsScratchBytes(const Window& window, uint32_t outputs) {
  const size_t groups = (window.kernel_h + 1) / 2;
  return ColumnsOf(window, StretchOutputs(window, outputs)) * groups * kGroupBytes;
}

void ComputeStretch(const DepthwiseTile& tile, const Columns& columns) {
  // As many sums as the registers hold beside weights and values.
  constexpr uint32_t kOutputs = kPairVectors == 1 ? 4 : 2;
  uint32_t i = 0;
  for (; i + kOutputs <= columns.outputs; i += kOutputs) {
    ComputeOutputs<kOutputs>(tile, columns, i);
  }
  for (; i < columns.outputs; ++i) ComputeOutputs<1>(tile, columns, i);
}

void ComputePairs(const DepthwiseTile& tile) {
  Window window;
  window.kernel_h = 2 * tile.groups;
  window.kernel_w = tile.kernel_w;
  window.stride_w = tile.stride_w;
  window.dilation_w = tile.dilation_w;
  const size_t column_bytes = tile.groups * kGroupBytes;
  const uint32_t stretch = StretchOutputs(window, tile.outputs);
  for (uint32_t first = 0; first < tile.outputs; first += stretch) {
    const uint32_t outputs = std::min(stretch, tile.outputs - first);
    InterleaveColumns(tile, int64_t{first} * tile.stride_w - tile.pad_left,
                      ColumnsOf(window, outputs));
    ComputeStretch(tile, {tile.scratch, tile.stride_w * column_bytes,
                          tile.dilation_w * column_bytes, first, outputs});
  }
}

#endif  // MPQ_TARGET_HAS_VECTORS

}  // namespace HWY_NAMESPACE
}  // namespace mpq
HWY_AFTER_NAMESPACE();

#if HWY_ONCE

namespace mpq {

namespace {

bool AnyWindow(const Window&) { return true; }

#if HWY_ARCH_X86
bool IsUsualWindow(const Window& window) {
  return window.kernel_h == window.kernel_w && (window.kernel_w == 3 || window.kernel_w == 5) &&
         window.stride_w <= 2 && window.dilation_w == 1;
}
// Output steps of half of the lanes.
size_t HalvesScratchBytes(const Window&, uint32_t outputs) {
  return size_t{outputs} * kDepthwiseMaxLanes;
}
#endif

}  // namespace

#define MPQ_PAIRS(TARGET, decode, describe)                                                     \
  {                                                                                             \
    TARGET::kPairLanes, 1, 2, TARGET::kPairVectorLanes, 8, decode, describe, TARGET::Transpose, \
        TARGET::InterleavePairLevels, AnyWindow, 128, TARGET::PairsScratchBytes,                \
        TARGET::ComputePairs                                                                    \
  }
#define MPQ_QUADS(TARGET, lanes, segments, decode, describe, max_level, compute)            \
  {                                                                                         \
    lanes, segments, 4, lanes, 16, decode, describe, TARGET::Transpose,                     \
        TARGET::InterleaveQuadLevels, IsUsualWindow, max_level, HalvesScratchBytes, compute \
  }

#if HWY_ARCH_X86
const DepthwiseMicroKernel kDepthwiseAvx512Vnni = MPQ_QUADS(
    N_AVX3, 64, 4, DecodeTilesAvx512, DescribeChannelsAvx512, 128, ComputeDepthwiseAvx512Vnni);
const DepthwiseMicroKernel kDepthwiseAvxVnni =
    MPQ_QUADS(N_AVX2, 32, 1, DecodeTilesSse4, DescribeChannelsAvx2, 128, ComputeDepthwiseAvxVnni);
const DepthwiseMicroKernel kDepthwiseAvx2 =
    MPQ_QUADS(N_AVX2, 32, 1, DecodeTilesSse4, DescribeChannelsAvx2, 64, ComputeDepthwiseAvx2);
const DepthwiseMicroKernel kDepthwisePairsAvx512 =
    MPQ_PAIRS(N_AVX3, DecodeTilesAvx512, DescribeChannelsAvx512);
const DepthwiseMicroKernel kDepthwisePairsAvx2 =
    MPQ_PAIRS(N_AVX2, DecodeTilesSse4, DescribeChannelsAvx2);
const DepthwiseMicroKernel kDepthwisePairsSse4 =
    MPQ_PAIRS(N_SSE4, DecodeTilesSse4, DescribeChannelsSse4);
#elif HWY_ARCH_ARM_A64
const DepthwiseMicroKernel kDepthwisePairsNeon =
    MPQ_PAIRS(N_NEON, DecodeTilesNeon, DescribeChannelsNeon);
#endif

}  // namespace mpq

#endif  // HWY_ONCE
