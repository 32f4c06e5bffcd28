// The parts of the depthwise micro-kernels that Highway serves: interleaving for all of them, and
// multiplication in 16 bits for instruction sets without dot products.
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

// The lanes of tap `tap` at `offset`: of one line, or parts of those of several lane rows. `lines`
// are line[row * kGroupTaps + tap].
template <uint32_t kLaneRows, uint32_t kGroupTaps, class D, typename T>
HWY_INLINE hn::Vec<D> LoadLines(D d, const T* const* lines) {
  if constexpr (kLaneRows == 1) {
    return hn::LoadU(d, lines[0]);
  } else {
    const hn::Half<D> dh;
    constexpr uint32_t kHalf = kLaneRows / 2;
    return hn::Combine(d, LoadLines<kHalf, kGroupTaps>(dh, lines + kHalf * kGroupTaps),
                       LoadLines<kHalf, kGroupTaps>(dh, lines));
  }
}

// The positions of lines in the current column.
template <typename T, uint32_t kCount>
struct Cursor {
  HWY_INLINE explicit Cursor(const DepthwiseLines& lines) {
    for (uint32_t i = 0; i < kCount; ++i) {
      line[i] = static_cast<const T*>(lines.line[i]);
      step[i] = lines.step[i];
    }
  }
  HWY_INLINE void Next() {
    for (uint32_t i = 0; i < kCount; ++i) line[i] += step[i];
  }

  const T* line[kCount];
  size_t step[kCount];
};

// Four taps of a lane become neighbouring bytes: register j of the four holds the lanes
// 4j..4j+3 of every 16.
template <uint32_t kLaneRows>
void InterleaveQuadRows(const DepthwiseLines& lines, uint32_t columns, std::byte* dst,
                        size_t dst_step) {
  const hn::ScalableTag<uint8_t> d;
  const hn::Repartition<uint16_t, decltype(d)> d16;
  const size_t size = hn::Lanes(d);
  Cursor<uint8_t, kLaneRows * 4> cursor(lines);
  for (uint32_t i = 0; i < columns; ++i) {
    const auto a = LoadLines<kLaneRows, 4>(d, cursor.line);
    const auto b = LoadLines<kLaneRows, 4>(d, cursor.line + 1);
    const auto c = LoadLines<kLaneRows, 4>(d, cursor.line + 2);
    const auto e = LoadLines<kLaneRows, 4>(d, cursor.line + 3);
    const auto ab_lower = hn::BitCast(d16, hn::InterleaveLower(d, a, b));
    const auto ab_upper = hn::BitCast(d16, hn::InterleaveUpper(d, a, b));
    const auto ce_lower = hn::BitCast(d16, hn::InterleaveLower(d, c, e));
    const auto ce_upper = hn::BitCast(d16, hn::InterleaveUpper(d, c, e));
    uint8_t* out = reinterpret_cast<uint8_t*>(dst);
    hn::Store(hn::BitCast(d, hn::InterleaveLower(d16, ab_lower, ce_lower)), d, out);
    hn::Store(hn::BitCast(d, hn::InterleaveUpper(d16, ab_lower, ce_lower)), d, out + size);
    hn::Store(hn::BitCast(d, hn::InterleaveLower(d16, ab_upper, ce_upper)), d, out + 2 * size);
    hn::Store(hn::BitCast(d, hn::InterleaveUpper(d16, ab_upper, ce_upper)), d, out + 3 * size);
    cursor.Next();
    dst += dst_step;
  }
}

void InterleaveQuads(const DepthwiseLines& lines, uint32_t lane_rows, uint32_t columns,
                     std::byte* dst, size_t dst_step) {
  constexpr size_t kSize = hn::MaxLanes(hn::ScalableTag<uint8_t>());
  if constexpr (kSize >= 64) {
    if (lane_rows == 4) return InterleaveQuadRows<4>(lines, columns, dst, dst_step);
  }
  if constexpr (kSize >= 32) {
    if (lane_rows == 2) return InterleaveQuadRows<2>(lines, columns, dst, dst_step);
  }
  InterleaveQuadRows<1>(lines, columns, dst, dst_step);
}

// 16-bit multiplication. kPairVectors vectors of 16-bit lanes make at least a block of channels.
constexpr uint32_t kPairVectorLanes = hn::MaxLanes(hn::ScalableTag<int16_t>());
constexpr uint32_t kPairVectors = kPairVectorLanes < 16 ? 16 / kPairVectorLanes : 1;
constexpr uint32_t kPairLanes = kPairVectorLanes * kPairVectors;

// Two taps of a lane, widened. x86 multiplies and adds neighbours, so they are interleaved: first
// the lanes 0..3 of every 8, then 4..7. NEON widens while multiplying: one tap after the other.
template <uint32_t kLaneRows, typename T>
void InterleavePairRows(const DepthwiseLines& lines, uint32_t columns, std::byte* dst,
                        size_t dst_step) {
  const hn::ScalableTag<int16_t> d;
  const hn::Rebind<T, decltype(d)> d8;
  Cursor<T, kLaneRows * 2> cursor(lines);
  for (uint32_t i = 0; i < columns; ++i) {
    int16_t* out = reinterpret_cast<int16_t*>(dst);
    for (uint32_t v = 0; v < kPairVectors; ++v) {
      const T* line[kLaneRows * 2];
      for (uint32_t j = 0; j < kLaneRows * 2; ++j) line[j] = cursor.line[j] + v * kPairVectorLanes;
      const auto a = hn::PromoteTo(d, LoadLines<kLaneRows, 2>(d8, line));
      const auto b = hn::PromoteTo(d, LoadLines<kLaneRows, 2>(d8, line + 1));
#if HWY_ARCH_X86
      hn::Store(hn::InterleaveLower(d, a, b), d, out);
      hn::Store(hn::InterleaveUpper(d, a, b), d, out + kPairVectorLanes);
#else
      hn::Store(a, d, out);
      hn::Store(b, d, out + kPairVectorLanes);
#endif
      out += 2 * kPairVectorLanes;
    }
    cursor.Next();
    dst += dst_step;
  }
}

template <typename T>
void InterleavePairs(const DepthwiseLines& lines, uint32_t lane_rows, uint32_t columns,
                     std::byte* dst, size_t dst_step) {
  if constexpr (kPairLanes >= 32) {
    if (lane_rows == 2) return InterleavePairRows<2, T>(lines, columns, dst, dst_step);
  }
  InterleavePairRows<1, T>(lines, columns, dst, dst_step);
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

// One output's lanes to its rows.
HWY_INLINE void StoreLanes(const DepthwiseTile& tile, const uint8_t* lanes, uint32_t output) {
  const uint32_t row_lanes = kPairLanes / tile.lane_rows;
  for (uint32_t row = 0; row < tile.rows; ++row) {
    uint8_t* dst = tile.dst[row] + output * tile.dst_stride;
    const uint8_t* src = lanes + row * row_lanes;
    uint32_t channels = tile.channels;
    if (channels > 16) {
      std::memcpy(dst, src, 16);
      dst += 16;
      src += 16;
      channels -= 16;
    }
    CopyChannels(dst, src, channels);
  }
}

// Outputs [first, first + kOutputs).
template <uint32_t kOutputs>
HWY_INLINE void ComputeOutputs(const DepthwiseTile& tile, uint32_t first) {
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
  for (uint32_t kx = 0; kx < tile.kernel_w; ++kx) {
    const std::byte* column = tile.columns + first * tile.output_step + kx * tile.tap_step;
    for (uint32_t group = 0; group < tile.groups; ++group) {
      for (uint32_t v = 0; v < kPairVectors; ++v) {
        const V16 weights0 = hn::Load(d16, weights);
        const V16 weights1 = hn::Load(d16, weights + kPairVectorLanes);
        weights += 2 * kPairVectorLanes;
        for (uint32_t i = 0; i < kOutputs; ++i) {
          const int16_t* values = reinterpret_cast<const int16_t*>(column + i * tile.output_step) +
                                  2 * kPairVectorLanes * v;
          MultiplyAddPairs(values, weights0, weights1, sums[i][v][0], sums[i][v][1]);
        }
      }
      column += size_t{kPairLanes} * 4;
    }
  }
  HWY_ALIGN uint8_t lanes[kOutputs][kPairLanes];
  for (uint32_t v = 0; v < kPairVectors; ++v) {
    const uint32_t lane = v * kPairVectorLanes;
    const Requantization<D16> requantization(params.right + lane, params.left + lane,
                                             params.multiplier + lane, tile.zero_point,
                                             tile.left_shifts);
    const auto code_lo = hn::Set(d8, tile.code_lo);
    const auto code_hi = hn::Load(d8, params.code_hi + lane);
    for (uint32_t i = 0; i < kOutputs; ++i) {
      const auto codes = hn::DemoteTo(d8, requantization.Codes(sums[i][v][0], sums[i][v][1]));
      hn::Store(hn::Min(hn::Max(codes, code_lo), code_hi), d8, lanes[i] + lane);
    }
  }
  for (uint32_t i = 0; i < kOutputs; ++i) StoreLanes(tile, lanes[i], first + i);
}

void ComputePairs(const DepthwiseTile& tile) {
  // As many sums as the registers hold beside weights and values.
  constexpr uint32_t kOutputs = kPairVectors == 1 ? 4 : 2;
  uint32_t i = 0;
  for (; i + kOutputs <= tile.outputs; i += kOutputs) ComputeOutputs<kOutputs>(tile, i);
  for (; i < tile.outputs; ++i) ComputeOutputs<1>(tile, i);
}

#endif  // MPQ_TARGET_HAS_VECTORS

}  // namespace HWY_NAMESPACE
}  // namespace mpq
HWY_AFTER_NAMESPACE();

#if HWY_ONCE

namespace mpq {

#define MPQ_QUADS(TARGET, lanes, decode, compute)                            \
  {                                                                          \
    lanes, 4, lanes, 16, decode, TARGET::Transpose, TARGET::InterleaveQuads, \
        TARGET::InterleaveQuads, compute                                     \
  }
#define MPQ_PAIRS(TARGET, decode)                                                               \
  {                                                                                             \
    TARGET::kPairLanes, 2, TARGET::kPairVectorLanes, 8, decode, TARGET::Transpose,              \
        TARGET::InterleavePairs<uint8_t>, TARGET::InterleavePairs<int8_t>, TARGET::ComputePairs \
  }

#if HWY_ARCH_X86
const DepthwiseMicroKernel kDepthwiseAvx512Vnni =
    MPQ_QUADS(N_AVX3, 64, DecodeTilesAvx512, ComputeDepthwiseAvx512Vnni);
const DepthwiseMicroKernel kDepthwiseAvxVnni =
    MPQ_QUADS(N_AVX2, 32, DecodeTilesSse4, ComputeDepthwiseAvxVnni);
const DepthwiseMicroKernel kDepthwiseAvx512 = MPQ_PAIRS(N_AVX3, DecodeTilesAvx512);
const DepthwiseMicroKernel kDepthwiseAvx2 = MPQ_PAIRS(N_AVX2, DecodeTilesSse4);
const DepthwiseMicroKernel kDepthwiseSse4 = MPQ_PAIRS(N_SSE4, DecodeTilesSse4);
#elif HWY_ARCH_ARM_A64
const DepthwiseMicroKernel kDepthwiseNeon = MPQ_PAIRS(N_NEON, DecodeTilesNeon);
#endif

}  // namespace mpq

#endif  // HWY_ONCE
