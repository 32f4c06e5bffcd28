#include "engine/ref/conv.h"

#include "engine/ref/pixel.h"
#include "format/node_fields.h"

namespace mpq::ref {

namespace {

// The levels of one block of output channels: [channel][k], k as in code_layout.h.
class BlockWeights {
 public:
  BlockWeights(const Step& step, uint32_t block, int8_t* levels)
      : layout_(step.layout), k_(size_t{layout_.quads()} * 4), levels_(levels) {
    const Weights& weights = *step.weights;
    const Levels set = BlockLevels(weights, block).value();
    const int bits = weights.block_bits[block];
    const uint8_t* packed = weights.codes.data();
    for (uint32_t b = 0; b < block; ++b) packed += layout_.BlockBytes(weights.block_bits[b]);
    for (uint32_t quad = 0; quad < layout_.quads(); ++quad) {
      uint8_t codes[kTileCodes];
      UnpackTile(packed, bits, codes);
      for (uint32_t i = 0; i < kTileCodes; ++i) {
        levels_[size_t{i / 4} * k_ + size_t{quad} * 4 + i % 4] = set.level[codes[i]];
      }
      packed += static_cast<size_t>(bits) * (kTileCodes / 8);
    }
  }

  int32_t Level(uint32_t channel, uint32_t ky, uint32_t kx, uint32_t c, const Weights& w) const {
    const uint32_t run = layout_.row_runs ? ky : ky * w.kernel_w + kx;
    const uint32_t value = layout_.row_runs ? kx * w.in_channels + c : c;
    return levels_[channel * k_ + size_t{run} * layout_.quads_per_run * 4 + value];
  }

 private:
  const CodeLayout& layout_;
  size_t k_;
  int8_t* levels_;
};

// One output value before bias and requantisation.
int32_t Accumulate(const Step& step, const BlockWeights& levels, uint32_t block, uint32_t channel,
                   uint32_t image, uint32_t oy, uint32_t ox) {
  const TensorView& src = step.src[0];
  const Weights& w = *step.weights;
  const Window& window = step.node->window;
  const uint32_t first_channel = block / step.layout.blocks_per_group * w.in_channels;
  const int32_t zero_point = step.src_tensors[0]->zero_point;
  int32_t sum = 0;
  for (uint32_t ky = 0; ky < w.kernel_h; ++ky) {
    for (uint32_t kx = 0; kx < w.kernel_w; ++kx) {
      const int64_t y =
          int64_t{oy} * window.stride_h + int64_t{ky} * window.dilation_h - window.pad_top;
      const int64_t x =
          int64_t{ox} * window.stride_w + int64_t{kx} * window.dilation_w - window.pad_left;
      const bool inside = y >= 0 && y < src.height && x >= 0 && x < src.width;
      const uint8_t* pixel = inside ? src.u8() + image * src.image_stride() +
                                          static_cast<size_t>(y) * src.row_stride() +
                                          static_cast<size_t>(x) * src.pixel_stride + first_channel
                                    : nullptr;
      for (uint32_t c = 0; c < w.in_channels; ++c) {
        sum += (inside ? pixel[c] : zero_point) * levels.Level(channel, ky, kx, c, w);
      }
    }
  }
  return sum;
}

// The output of `channel` at pixel (y, x) from its accumulator.
void Store(const Step& step, uint32_t image, uint32_t y, uint32_t x, uint32_t channel,
           int32_t accumulator, const Requantizer& requantizer) {
  const size_t offset = PixelOffset(step.dst, image, y, x) + channel;
  const int32_t zero_point = step.dst_tensor->zero_point;
  if (step.dst_tensor->type == ElementType::kS16) {
    step.dst.mutable_s16()[offset] = static_cast<int16_t>(RequantizeS16(accumulator, requantizer));
  } else if (HasResidual(*step.node)) {
    const uint8_t residual = step.src[1].u8()[PixelOffset(step.src[1], image, y, x) + channel];
    const int32_t steps =
        ResidualSteps(residual, step.src_tensors[1]->zero_point, step.node->multiplier[0]);
    step.dst.mutable_u8()[offset] =
        RequantizeWithResidual(accumulator, requantizer, steps, zero_point, step.node->code_lo);
  } else {
    step.dst.mutable_u8()[offset] =
        RequantizeU8(accumulator, requantizer, zero_point, step.node->code_lo);
  }
}

void RunBlock(const Step& step, uint32_t block, int8_t* scratch) {
  const BlockWeights levels(step, block, scratch);
  const uint32_t first = step.layout.FirstChannel(block);
  for (uint32_t i = 0; i < step.layout.BlockChannels(block); ++i) {
    const ChannelParams& params = step.weights->channels[first + i];
    const Requantizer requantizer = Requantizer::Unpack(params.requant);
    for (uint32_t n = 0; n < step.dst.batch; ++n) {
      for (uint32_t y = 0; y < step.dst.height; ++y) {
        for (uint32_t x = 0; x < step.dst.width; ++x) {
          const int32_t sum = Accumulate(step, levels, block, i, n, y, x);
          Store(step, n, y, x, first + i, sum + params.bias, requantizer);
        }
      }
    }
  }
}

std::string Refuse(const Step&) { return {}; }

uint32_t WorkItems(const Step& step) { return step.layout.blocks(); }

size_t ScratchBytes(const Step& step) { return size_t{step.layout.quads()} * kTileCodes; }

void Run(const Step& step, uint32_t first, uint32_t last, std::byte* scratch) {
  for (uint32_t block = first; block < last; ++block) {
    RunBlock(step, block, reinterpret_cast<int8_t*>(scratch));
  }
}

}  // namespace

const Kernel kConv = {"conv.ref", Isa::kScalar, Refuse, WorkItems, ScratchBytes, Run};

}  // namespace mpq::ref
