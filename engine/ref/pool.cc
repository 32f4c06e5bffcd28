#include "engine/ref/pool.h"

#include <algorithm>

#include "engine/ref/pixel.h"

namespace mpq::ref {

namespace {

uint8_t Average(const Step& step, int64_t sum_minus_zeros, uint32_t count) {
  const Node& node = *step.node;
  return AverageCode(sum_minus_zeros, std::max(count, 1u), node.multiplier[0], node.shift,
                     step.dst_tensor->zero_point, node.code_lo, node.code_hi);
}

void RunMaxPool(const Step& step, uint32_t first, uint32_t last, std::byte*) {
  const Window& window = step.node->window;
  ForEachPixel(step.dst, first, last, [&](uint32_t image, uint32_t y, uint32_t x) {
    for (uint32_t c = 0; c < step.dst.channels; ++c) {
      uint8_t code = 0;
      for (uint32_t ky = 0; ky < window.kernel_h; ++ky) {
        for (uint32_t kx = 0; kx < window.kernel_w; ++kx) {
          const uint8_t* pixel = TapPixel(step.src[0], window, image, y, x, ky, kx);
          if (pixel != nullptr) code = std::max(code, pixel[c]);
        }
      }
      step.dst.mutable_u8()[PixelOffset(step.dst, image, y, x) + c] =
          std::min(std::max(code, step.node->code_lo), step.node->code_hi);
    }
  });
}

// Whether a tap lies in the input or in its padding, not beyond (ceil_mode).
bool InPaddedInput(const Step& step, uint32_t y, uint32_t x, uint32_t ky, uint32_t kx) {
  const Window& w = step.node->window;
  return TapPosition(y, w.stride_h, ky, w.dilation_h, w.pad_top) <
             int64_t{step.src[0].height} + w.pad_bottom &&
         TapPosition(x, w.stride_w, kx, w.dilation_w, w.pad_left) <
             int64_t{step.src[0].width} + w.pad_right;
}

void RunAvgPool(const Step& step, uint32_t first, uint32_t last, std::byte*) {
  const Window& window = step.node->window;
  ForEachPixel(step.dst, first, last, [&](uint32_t image, uint32_t y, uint32_t x) {
    for (uint32_t c = 0; c < step.dst.channels; ++c) {
      int64_t sum = 0;
      uint32_t count = 0;
      for (uint32_t ky = 0; ky < window.kernel_h; ++ky) {
        for (uint32_t kx = 0; kx < window.kernel_w; ++kx) {
          const uint8_t* pixel = TapPixel(step.src[0], window, image, y, x, ky, kx);
          if (pixel != nullptr) {
            sum += pixel[c] - step.src_tensors[0]->zero_point;
            ++count;
          } else if (step.node->count_include_pad && InPaddedInput(step, y, x, ky, kx)) {
            ++count;
          }
        }
      }
      step.dst.mutable_u8()[PixelOffset(step.dst, image, y, x) + c] = Average(step, sum, count);
    }
  });
}

uint32_t Images(const Step& step) { return step.dst.batch; }

void RunGlobalAvgPool(const Step& step, uint32_t first, uint32_t last, std::byte*) {
  const TensorView& src = step.src[0];
  for (uint32_t image = first; image < last; ++image) {
    for (uint32_t c = 0; c < step.dst.channels; ++c) {
      int64_t sum = 0;
      ForEachPixel(src, image * src.height, (image + 1) * src.height,
                   [&](uint32_t, uint32_t y, uint32_t x) {
                     const uint8_t code = src.u8()[PixelOffset(src, image, y, x) + c];
                     sum += code - step.src_tensors[0]->zero_point;
                   });
      step.dst.mutable_u8()[PixelOffset(step.dst, image, 0, 0) + c] =
          Average(step, sum, src.height * src.width);
    }
  }
}

}  // namespace

const Kernel kMaxPool = {"max_pool.ref", Isa::kScalar, NeverRefuse,
                         RowsOfOutput,   NoScratch,    RunMaxPool};
const Kernel kAvgPool = {"avg_pool.ref", Isa::kScalar, NeverRefuse,
                         RowsOfOutput,   NoScratch,    RunAvgPool};
const Kernel kGlobalAvgPool = {"global_avg_pool.ref", Isa::kScalar, NeverRefuse, Images, NoScratch,
                               RunGlobalAvgPool};

}  // namespace mpq::ref
