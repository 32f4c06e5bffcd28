// What a sliding window meets in a float tensor, for bare loops over operators and their gradients.
#ifndef MPQ_ENGINE_REF_FLOAT_WINDOW_H_
#define MPQ_ENGINE_REF_FLOAT_WINDOW_H_

#include <cstdint>

#include "engine/ref/float_ops.h"
#include "format/graph.h"

namespace mpq::ref {

// The taps of one axis that a window at output position `out` meets inside the input.
struct Taps {
  int64_t origin;  // where the window starts
  uint32_t dilation, kernel, in;

  // Input position of a tap; outside the input where it meets padding.
  int64_t At(uint32_t tap) const { return origin + int64_t{tap} * dilation; }
  bool Inside(uint32_t tap) const { return At(tap) >= 0 && At(tap) < in; }
  // Taps in the input or, with_padding, in the input with its padding.
  uint32_t Count(bool with_padding, uint32_t pad_end) const {
    uint32_t count = 0;
    for (uint32_t tap = 0; tap < kernel; ++tap) {
      count += with_padding ? At(tap) < int64_t{in} + pad_end : Inside(tap);
    }
    return count;
  }
};

inline Taps RowTaps(const Window& w, uint32_t oy, const Shape& in) {
  return {int64_t{oy} * w.stride_h - w.pad_top, w.dilation_h, w.kernel_h, in.height};
}
inline Taps ColumnTaps(const Window& w, uint32_t ox, const Shape& in) {
  return {int64_t{ox} * w.stride_w - w.pad_left, w.dilation_w, w.kernel_w, in.width};
}

// f(source pixel, ky, kx) for every tap of the window inside the input.
template <typename F>
void ForEachTap(const FloatView& src, uint32_t image, const Taps& rows, const Taps& columns, F f) {
  for (uint32_t ky = 0; ky < rows.kernel; ++ky) {
    if (!rows.Inside(ky)) continue;
    for (uint32_t kx = 0; kx < columns.kernel; ++kx) {
      if (!columns.Inside(kx)) continue;
      f(src.pixel(image, static_cast<uint32_t>(rows.At(ky)), static_cast<uint32_t>(columns.At(kx))),
        ky, kx);
    }
  }
}

// f(image, y, x, output pixel)
template <typename F>
void ForEachPixel(const FloatView& dst, F f) {
  for (uint32_t image = 0; image < dst.batch; ++image) {
    for (uint32_t y = 0; y < dst.shape.height; ++y) {
      for (uint32_t x = 0; x < dst.shape.width; ++x) f(image, y, x, dst.pixel(image, y, x));
    }
  }
}

}  // namespace mpq::ref

#endif  // MPQ_ENGINE_REF_FLOAT_WINDOW_H_
