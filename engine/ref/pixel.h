// Where a pixel lies, for the bare loops of this folder.
#ifndef MPQ_ENGINE_REF_PIXEL_H_
#define MPQ_ENGINE_REF_PIXEL_H_

#include <cstddef>
#include <cstdint>
#include <string>

#include "engine/core/step.h"

namespace mpq::ref {

// In elements, from the start of the view.
inline size_t PixelOffset(const TensorView& view, uint32_t image, uint32_t y, uint32_t x) {
  return image * view.image_stride() + y * view.row_stride() + x * view.pixel_stride;
}

// Position of a tap of a window along one axis; in the padding it is negative or beyond the input.
inline int64_t TapPosition(uint32_t out, uint32_t stride, uint32_t tap, uint32_t dilation,
                           uint32_t pad_begin) {
  return int64_t{out} * stride + int64_t{tap} * dilation - pad_begin;
}

// The pixel under tap (ky, kx) of the window of output pixel (y, x), or null in the padding.
inline const uint8_t* TapPixel(const TensorView& src, const Window& window, uint32_t image,
                               uint32_t y, uint32_t x, uint32_t ky, uint32_t kx) {
  const int64_t src_y = TapPosition(y, window.stride_h, ky, window.dilation_h, window.pad_top);
  const int64_t src_x = TapPosition(x, window.stride_w, kx, window.dilation_w, window.pad_left);
  if (src_y < 0 || src_y >= src.height || src_x < 0 || src_x >= src.width) return nullptr;
  return src.u8() +
         PixelOffset(src, image, static_cast<uint32_t>(src_y), static_cast<uint32_t>(src_x));
}

// Calls f(image, y, x) for the output pixels of rows [first, last); rows of all images are counted
// through: the unit of work of most reference kernels.
template <typename F>
void ForEachPixel(const TensorView& dst, uint32_t first, uint32_t last, F f) {
  for (uint32_t row = first; row < last; ++row) {
    for (uint32_t x = 0; x < dst.width; ++x) f(row / dst.height, row % dst.height, x);
  }
}

inline std::string NeverRefuse(const Step&) { return {}; }
inline uint32_t RowsOfOutput(const Step& step) { return step.dst.batch * step.dst.height; }
inline size_t NoScratch(const Step&) { return 0; }

}  // namespace mpq::ref

#endif  // MPQ_ENGINE_REF_PIXEL_H_
