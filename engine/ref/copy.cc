#include "engine/ref/copy.h"

#include <cstring>

#include "engine/ref/pixel.h"

namespace mpq::ref {

namespace {

void RunConcat(const Step& step, uint32_t first, uint32_t last, std::byte*) {
  ForEachPixel(step.dst, first, last, [&](uint32_t image, uint32_t y, uint32_t x) {
    uint8_t* dst = step.dst.mutable_u8() + PixelOffset(step.dst, image, y, x);
    for (const TensorView& src : step.src) {
      std::memcpy(dst, src.u8() + PixelOffset(src, image, y, x), src.channels);
      dst += src.channels;
    }
  });
}

void RunSlicePad(const Step& step, uint32_t first, uint32_t last, std::byte*) {
  const TensorView& src = step.src[0];
  const int zero_point = step.dst_tensor->zero_point;
  ForEachPixel(step.dst, first, last, [&](uint32_t image, uint32_t y, uint32_t x) {
    uint8_t* dst = step.dst.mutable_u8() + PixelOffset(step.dst, image, y, x);
    std::memset(dst, zero_point, step.dst.channels);
    const uint8_t* pixel = TapPixel(src, step.node->window, image, y, x, 0, 0);
    if (pixel != nullptr) std::memcpy(dst + step.node->channels_before, pixel, src.channels);
  });
}

}  // namespace

// Rows are copied at the speed of memcpy, so these serve as the fast kernels, too.
const Kernel kConcat = {"concat.ref", Isa::kScalar, NeverRefuse,
                        RowsOfOutput, NoScratch,    RunConcat};
const Kernel kSlicePad = {"slice_pad.ref", Isa::kScalar, NeverRefuse,
                          RowsOfOutput,    NoScratch,    RunSlicePad};

}  // namespace mpq::ref
