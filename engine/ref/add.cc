#include "engine/ref/add.h"

#include "engine/ref/pixel.h"

namespace mpq::ref {

namespace {

int32_t SrcMinusZero(const Step& step, size_t operand, uint32_t image, uint32_t y, uint32_t x,
                     uint32_t channel) {
  const TensorView& src = step.src[operand];
  return src.u8()[PixelOffset(src, image, y, x) + channel] - step.src_tensors[operand]->zero_point;
}

void Run(const Step& step, uint32_t first, uint32_t last, std::byte*) {
  const Node& node = *step.node;
  const bool two = step.src.size() == 2;
  ForEachPixel(step.dst, first, last, [&](uint32_t image, uint32_t y, uint32_t x) {
    for (uint32_t c = 0; c < step.dst.channels; ++c) {
      const int32_t a = SrcMinusZero(step, 0, image, y, x, c);
      const int32_t b = two ? SrcMinusZero(step, 1, image, y, x, c) : 0;
      step.dst.mutable_u8()[PixelOffset(step.dst, image, y, x) + c] =
          AddCodes(a, node.multiplier[0], b, node.multiplier[1], node.shift,
                   step.dst_tensor->zero_point, node.code_lo, node.code_hi);
    }
  });
}

}  // namespace

const Kernel kAdd = {"add.ref", Isa::kScalar, NeverRefuse, RowsOfOutput, NoScratch, Run};
const Kernel kClip = {"clip.ref", Isa::kScalar, NeverRefuse, RowsOfOutput, NoScratch, Run};

}  // namespace mpq::ref
