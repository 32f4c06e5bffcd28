#include "engine/ref/depthwise_conv.h"

#include "engine/ref/pixel.h"

namespace mpq::ref {

namespace {

// levels: [16][taps rounded up to a multiple of 4] of one block.
void DecodeBlock(const Step& step, uint32_t block, int8_t* levels) {
  const Weights& weights = *step.weights;
  const Levels set = BlockLevels(weights, block).value();
  const uint8_t* packed = weights.codes.data();
  for (uint32_t b = 0; b < block; ++b) packed += step.layout.BlockBytes(weights.block_bits[b]);
  const uint32_t quads = step.layout.quads();
  for (uint32_t quad = 0; quad < quads; ++quad) {
    uint8_t codes[kTileCodes];
    UnpackTile(packed, weights.block_bits[block], codes);
    for (uint32_t i = 0; i < kTileCodes; ++i) {
      levels[(i / 4 * quads + quad) * 4 + i % 4] = set.level[codes[i]];
    }
    packed += size_t{weights.block_bits[block]} * (kTileCodes / 8);
  }
}

int32_t Accumulate(const Step& step, const int8_t* levels, uint32_t channel, uint32_t image,
                   uint32_t y, uint32_t x) {
  const Window& window = step.node->window;
  int32_t sum = 0;
  for (uint32_t ky = 0; ky < window.kernel_h; ++ky) {
    for (uint32_t kx = 0; kx < window.kernel_w; ++kx) {
      const uint8_t* pixel = TapPixel(step.src[0], window, image, y, x, ky, kx);
      const int32_t code = pixel == nullptr ? step.src_tensors[0]->zero_point : pixel[channel];
      sum += code * levels[ky * window.kernel_w + kx];
    }
  }
  return sum;
}

void Store(const Step& step, size_t offset, int32_t x, const Requantizer& requantizer) {
  if (step.dst_tensor->type == ElementType::kS16) {
    step.dst.mutable_s16()[offset] = static_cast<int16_t>(RequantizeS16(x, requantizer));
  } else {
    step.dst.mutable_u8()[offset] =
        RequantizeU8(x, requantizer, step.dst_tensor->zero_point, step.node->code_lo);
  }
}

void RunBlock(const Step& step, uint32_t block, int8_t* levels) {
  DecodeBlock(step, block, levels);
  const uint32_t first = step.layout.FirstChannel(block);
  for (uint32_t i = 0; i < step.layout.BlockChannels(block); ++i) {
    const uint32_t channel = first + i;
    const ChannelParams& params = step.weights->channels[channel];
    const Requantizer requantizer = Requantizer::Unpack(params.requant);
    const int8_t* channel_levels = levels + size_t{i} * step.layout.quads() * 4;
    ForEachPixel(step.dst, 0, RowsOfOutput(step), [&](uint32_t image, uint32_t y, uint32_t x) {
      const int32_t sum = Accumulate(step, channel_levels, channel, image, y, x);
      Store(step, PixelOffset(step.dst, image, y, x) + channel, sum + params.bias, requantizer);
    });
  }
}

uint32_t WorkItems(const Step& step) { return step.layout.blocks(); }

size_t ScratchBytes(const Step& step) { return size_t{step.layout.quads()} * kTileCodes; }

void Run(const Step& step, uint32_t first, uint32_t last, std::byte* scratch) {
  for (uint32_t block = first; block < last; ++block) {
    RunBlock(step, block, reinterpret_cast<int8_t*>(scratch));
  }
}

}  // namespace

const Kernel kDepthwiseConv = {"depthwise.ref", Isa::kScalar, NeverRefuse,
                               WorkItems,       ScratchBytes, Run};

}  // namespace mpq::ref
