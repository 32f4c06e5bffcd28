#include "engine/kernels/pool.h"

#include <algorithm>
#include <cmath>

#include "format/message.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "engine/kernels/pool.cc"
#include "hwy/foreach_target.h"  // IWYU pragma: keep
// After foreach_target.h:
#include "engine/kernels/store-inl.h"
#include "hwy/highway.h"

#ifndef MPQ_ENGINE_KERNELS_POOL_ONCE_
#define MPQ_ENGINE_KERNELS_POOL_ONCE_

namespace mpq {
namespace pool {

// 16-bit sums of so many codes cannot overflow.
inline constexpr uint32_t kMaxTaps16 = 65535 / 255;
// With at most so many codes in an average, |sum * m| < 2^51: doubles are exact.
inline constexpr uint32_t kMaxDoubleCount = 8192;
// A unit of work of a global pool: so many channels of an image.
inline constexpr uint32_t kGlobalChannels = 64;

inline uint32_t GlobalUnits(const TensorView& dst) {
  return (dst.channels + kGlobalChannels - 1) / kGlobalChannels;
}

// The taps [first, last) of one axis of a window that lie in the input.
struct TapRange {
  uint32_t first, last;
  int64_t position;       // of the first
  uint32_t in_or_padded;  // taps in the input or in its padding

  TapRange(uint32_t out, uint32_t in, uint32_t kernel, uint32_t stride, uint32_t dilation,
           uint32_t pad_begin, uint32_t pad_end) {
    const int64_t start = int64_t{out} * stride - pad_begin;
    first = Below(start, 0, kernel, dilation);
    last = std::max(first, Below(start, in, kernel, dilation));
    position = start + int64_t{first} * dilation;
    in_or_padded = Below(start, int64_t{in} + pad_end, kernel, dilation);
  }

  uint32_t count() const { return last - first; }

 private:
  // The number of taps at positions below `limit`.
  static uint32_t Below(int64_t start, int64_t limit, uint32_t kernel, uint32_t dilation) {
    if (limit <= start) return 0;
    if (limit - start > int64_t{kernel - 1} * dilation) return kernel;
    return static_cast<uint32_t>((limit - start + dilation - 1) / dilation);
  }
};

// The part of a window that lies in the input.
struct Taps {
  const uint8_t* pixel;       // of the first tap
  size_t row_step, tap_step;  // bytes between taps
  uint32_t rows, columns;
  uint32_t padded_count;  // taps in the input or in its padding

  Taps(const Step& step, uint32_t row, uint32_t x) {
    const TensorView& src = step.src[0];
    const Window& w = step.node->window;
    const TapRange ry(row % step.dst.height, src.height, w.kernel_h, w.stride_h, w.dilation_h,
                      w.pad_top, w.pad_bottom);
    const TapRange rx(x, src.width, w.kernel_w, w.stride_w, w.dilation_w, w.pad_left, w.pad_right);
    rows = ry.count();
    columns = rx.count();
    padded_count = ry.in_or_padded * rx.in_or_padded;
    const bool any = rows > 0 && columns > 0;
    pixel = src.u8() + (any ? row / step.dst.height * src.image_stride() +
                                  static_cast<size_t>(ry.position) * src.row_stride() +
                                  static_cast<size_t>(rx.position) * src.pixel_stride
                            : 0);
    row_step = w.dilation_h * src.row_stride();
    tap_step = w.dilation_w * src.pixel_stride;
  }
};

// AverageCode of format/requantize.h for one divisor, prepared for doubles. With
//   floor((2*s*m + d) / (2*d)) = floor(floor((s*m + count*2^(shift-1)) / 2^shift) / count)
// all is exact but the last division, and there adding 1/2 keeps the quotient further away from
// integers than its error, wherever the code does not saturate.
struct Average {
  int32_t sum_offset;  // minus the zero points of the codes that were added
  uint32_t count;
  double m, half, unshift, inverse_count;

  Average(const Step& step, uint32_t codes, uint32_t divisor) {
    sum_offset = -static_cast<int32_t>(codes) * step.src_tensors[0]->zero_point;
    count = std::max(divisor, 1u);
    const int shift = step.node->shift;
    m = step.node->multiplier[0];
    half = std::ldexp(count, shift - 1);
    unshift = std::ldexp(1.0, -shift);
    inverse_count = 1.0 / count;
  }
};

}  // namespace pool
}  // namespace mpq

#endif  // MPQ_ENGINE_KERNELS_POOL_ONCE_

HWY_BEFORE_NAMESPACE();
namespace mpq {
namespace HWY_NAMESPACE {

#if MPQ_TARGET_HAS_VECTORS

namespace hn = hwy::HWY_NAMESPACE;

void MaxPool(const Step& step, uint32_t first, uint32_t last, std::byte*) {
  const hn::ScalableTag<uint8_t> d;
  const TensorView& dst = step.dst;
  const auto code_lo = hn::Set(d, step.node->code_lo);
  const auto code_hi = hn::Set(d, step.node->code_hi);
  uint8_t* out = dst.mutable_u8() + first * dst.row_stride();
  for (uint32_t row = first; row < last; ++row) {
    for (uint32_t x = 0; x < dst.width; ++x, out += dst.pixel_stride) {
      const pool::Taps taps(step, row, x);
      for (size_t c = 0; c < dst.channels; c += hn::Lanes(d)) {
        auto code = code_lo;  // at least the padding's 0
        const uint8_t* line = taps.pixel + c;
        for (uint32_t ky = 0; ky < taps.rows; ++ky, line += taps.row_step) {
          const uint8_t* pixel = line;
          for (uint32_t kx = 0; kx < taps.columns; ++kx, pixel += taps.tap_step) {
            code = hn::Max(code, hn::LoadU(d, pixel));
          }
        }
        StoreFirst(hn::Min(code, code_hi), d, dst.channels - c, out + c);
      }
    }
  }
}

using D16 = hn::ScalableTag<uint16_t>;
using D32 = hn::RepartitionToWide<D16>;
using D8 = hn::Rebind<uint8_t, D16>;
constexpr size_t kSumLanes = hn::MaxLanes(D16());

// Adds 16-bit sums to 32-bit ones.
HWY_INLINE void AddSums(hn::Vec<D16> sum, int32_t* sums) {
  const hn::Half<D16> half;
  const hn::Repartition<int32_t, D16> d32;
  const size_t lanes = hn::Lanes(d32);
  const auto lower = hn::PromoteTo(d32, hn::LowerHalf(half, sum));
  const auto upper = hn::PromoteTo(d32, hn::UpperHalf(half, sum));
  hn::StoreU(hn::LoadU(d32, sums) + lower, d32, sums);
  hn::StoreU(hn::LoadU(d32, sums + lanes) + upper, d32, sums + lanes);
}

// Writes the codes of `count` of kSumLanes sums.
HWY_INLINE void AverageSums(const Step& step, const pool::Average& average, const int32_t* sums,
                            size_t count, uint8_t* dst) {
  if (average.count > pool::kMaxDoubleCount) {
    for (size_t i = 0; i < count; ++i) {
      dst[i] = AverageCode(sums[i] + average.sum_offset, average.count, step.node->multiplier[0],
                           step.node->shift, step.dst_tensor->zero_point, step.node->code_lo,
                           step.node->code_hi);
    }
    return;
  }
  const hn::ScalableTag<double> d;
  const hn::Rebind<int32_t, decltype(d)> d32;
  const hn::Rebind<uint8_t, decltype(d)> d8;
  const auto offset = hn::Set(d32, average.sum_offset);
  const auto m = hn::Set(d, average.m);
  const auto half = hn::Set(d, average.half);
  const auto unshift = hn::Set(d, average.unshift);
  const auto inverse_count = hn::Set(d, average.inverse_count);
  const auto zero_point = hn::Set(d, step.dst_tensor->zero_point);
  const auto lo = hn::Set(d, step.node->code_lo);
  const auto hi = hn::Set(d, step.node->code_hi);
  HWY_ALIGN uint8_t codes[kSumLanes];
  for (size_t i = 0; i < kSumLanes; i += hn::Lanes(d)) {
    const auto sum = hn::PromoteTo(d, hn::Load(d32, sums + i) + offset);
    const auto units = hn::Floor((sum * m + half) * unshift);
    const auto steps = hn::Floor((units + hn::Set(d, 0.5)) * inverse_count);
    const auto code = hn::Min(hn::Max(steps + zero_point, lo), hi);
    hn::StoreU(hn::DemoteTo(d8, hn::DemoteTo(d32, code)), d8, codes + i);
  }
  StoreFirst(hn::Load(D8(), codes), D8(), count, dst);
}

void AvgPool(const Step& step, uint32_t first, uint32_t last, std::byte*) {
  const D16 d16;
  const D8 d8;
  const TensorView& dst = step.dst;
  uint8_t* out = dst.mutable_u8() + first * dst.row_stride();
  for (uint32_t row = first; row < last; ++row) {
    for (uint32_t x = 0; x < dst.width; ++x, out += dst.pixel_stride) {
      const pool::Taps taps(step, row, x);
      const uint32_t codes = taps.rows * taps.columns;
      const pool::Average average(step, codes,
                                  step.node->count_include_pad ? taps.padded_count : codes);
      for (size_t c = 0; c < dst.channels; c += kSumLanes) {
        auto sum = hn::Zero(d16);
        const uint8_t* line = taps.pixel + c;
        for (uint32_t ky = 0; ky < taps.rows; ++ky, line += taps.row_step) {
          const uint8_t* pixel = line;
          for (uint32_t kx = 0; kx < taps.columns; ++kx, pixel += taps.tap_step) {
            sum = sum + hn::PromoteTo(d16, hn::LoadU(d8, pixel));
          }
        }
        HWY_ALIGN int32_t sums[kSumLanes] = {};
        AddSums(sum, sums);
        AverageSums(step, average, sums, std::min(kSumLanes, dst.channels - c), out + c);
      }
    }
  }
}

static_assert(pool::kGlobalChannels % kSumLanes == 0);

void SumChannels(const Step& step, uint32_t image, uint32_t channel, uint8_t* dst) {
  const D16 d16;
  const D8 d8;
  const TensorView& src = step.src[0];
  const size_t pixels = size_t{src.height} * src.width;
  const uint8_t* pixel = src.u8() + image * src.image_stride() + channel;
  HWY_ALIGN int32_t sums[kSumLanes] = {};
  for (size_t i = 0; i < pixels;) {
    auto sum = hn::Zero(d16);
    const size_t end = std::min<size_t>(pixels, i + pool::kMaxTaps16);
    for (; i < end; ++i, pixel += src.pixel_stride) {
      sum = sum + hn::PromoteTo(d16, hn::LoadU(d8, pixel));
    }
    AddSums(sum, sums);
  }
  const pool::Average average(step, static_cast<uint32_t>(pixels), static_cast<uint32_t>(pixels));
  AverageSums(step, average, sums, std::min<size_t>(kSumLanes, src.channels - channel), dst);
}

void GlobalAvgPool(const Step& step, uint32_t first, uint32_t last, std::byte*) {
  const TensorView& dst = step.dst;
  const uint32_t units_per_image = pool::GlobalUnits(dst);
  for (uint32_t unit = first; unit < last; ++unit) {
    const uint32_t image = unit / units_per_image;
    const uint32_t begin = unit % units_per_image * pool::kGlobalChannels;
    const uint32_t end = std::min(begin + pool::kGlobalChannels, dst.channels);
    for (uint32_t c = begin; c < end; c += kSumLanes) {
      SumChannels(step, image, c, dst.mutable_u8() + image * dst.image_stride() + c);
    }
  }
}

#endif  // MPQ_TARGET_HAS_VECTORS

}  // namespace HWY_NAMESPACE
}  // namespace mpq
HWY_AFTER_NAMESPACE();

#if HWY_ONCE

namespace mpq {

namespace {

std::string NeverRefuse(const Step&) { return {}; }
uint32_t RowsOfOutput(const Step& step) { return step.dst.batch * step.dst.height; }
size_t NoScratch(const Step&) { return 0; }

std::string AvgPoolRefuse(const Step& step) {
  const Window& w = step.node->window;
  const uint64_t taps = uint64_t{w.kernel_h} * w.kernel_w;
  if (taps <= pool::kMaxTaps16) return {};
  return Message("a window of ", taps, " taps, more than ", pool::kMaxTaps16);
}

uint32_t GlobalAvgPoolUnits(const Step& step) {
  return step.dst.batch * pool::GlobalUnits(step.dst);
}

}  // namespace

#define MPQ_DEFINE(name, text, isa, target)                                          \
  const Kernel kMaxPool##name = {"max_pool.taps." text, isa,       NeverRefuse,      \
                                 RowsOfOutput,          NoScratch, target::MaxPool}; \
  const Kernel kAvgPool##name = {"avg_pool.taps." text, isa,       AvgPoolRefuse,    \
                                 RowsOfOutput,          NoScratch, target::AvgPool}; \
  const Kernel kGlobalAvgPool##name = {                                              \
      "global_avg_pool.sums." text, isa,       NeverRefuse,                          \
      GlobalAvgPoolUnits,           NoScratch, target::GlobalAvgPool};
MPQ_FOR_EACH_TARGET(MPQ_DEFINE)
#undef MPQ_DEFINE

}  // namespace mpq

#endif  // HWY_ONCE
