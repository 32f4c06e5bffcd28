#include "quantize/distillation/latent_layer.h"

#include <algorithm>

#include "format/code_layout.h"
#include "quantize/weight_range.h"

namespace mpq {

namespace {

// A scale may not shrink to nothing: it could never come back.
constexpr float kLeastScale = 1.0f / 64;  // of what it was
// How far inside a code's cell the latent weight of another code's cell starts.
constexpr float kCellMargin = 1.0f / 64;  // of the distance to the neighbouring level

// The real nearest to x, in units of the scale, that rounds to `code`.
float NearestInCell(const Levels& levels, uint8_t code, float x) {
  const float level = levels.level[code];
  if (code > 0) {
    const float gap = level - static_cast<float>(levels.level[code - 1]);
    x = std::max(x, level - gap * (0.5f - kCellMargin));
  }
  if (code + 1u < levels.count) {
    const float gap = static_cast<float>(levels.level[code + 1]) - level;
    x = std::min(x, level + gap * (0.5f - kCellMargin));
  }
  return x;
}

}  // namespace

Result<LatentLayer> LatentLayer::Create(const Graph& graph, const Node& node,
                                        const LayerDecision& layer,
                                        std::span<const float> weights) {
  LatentLayer latent;
  const Weights description = Description(layer);
  const CodeLayout layout = MakeCodeLayout(graph, node);
  for (uint32_t block = 0; block < layout.blocks(); ++block) {
    MPQ_ASSIGN_OR_RETURN(const Levels levels, BlockLevels(description, block));
    latent.block_levels_.push_back(levels);
    latent.blocks_.insert(latent.blocks_.end(), layout.BlockChannels(block), block);
  }
  latent.weights_.assign(weights.begin(), weights.end());
  latent.scales_.assign(layer.scales.begin(), layer.scales.end());
  latent.bias_.assign(layer.bias.begin(), layer.bias.end());
  for (const float scale : latent.scales_) latent.least_scales_.push_back(kLeastScale * scale);
  latent.trains_scales_ = !layer.shifted;
  latent.weight_adam_ = Adam(latent.weights_.size());
  latent.scale_adam_ = Adam(latent.scales_.size());
  latent.bias_adam_ = Adam(latent.bias_.size());
  latent.StartAtCodes(layer.codes);
  return latent;
}

const Levels& LatentLayer::levels(size_t channel) const { return block_levels_[blocks_[channel]]; }

void LatentLayer::StartAtCodes(std::span<const uint8_t> codes) {
  std::vector<uint8_t> nearest(row());
  for (size_t c = 0; c < scales_.size(); ++c) {
    EncodeWeights(channel_weights(c), levels(c), scales_[c], nearest);
    for (size_t i = 0; i < row(); ++i) {
      float& w = weights_[c * row() + i];
      const uint8_t code = codes[c * row() + i];
      if (nearest[i] != code) w = scales_[c] * NearestInCell(levels(c), code, w / scales_[c]);
    }
  }
}

std::vector<float> LatentLayer::QuantizedWeights() const {
  std::vector<float> quantized(weights_.size());
  std::vector<uint8_t> codes(row());
  for (size_t c = 0; c < scales_.size(); ++c) {
    EncodeWeights(channel_weights(c), levels(c), scales_[c], codes);
    float* out = quantized.data() + c * row();
    for (size_t i = 0; i < row(); ++i) out[i] = scales_[c] * levels(c).level[codes[i]];
  }
  return quantized;
}

void LatentLayer::Step(uint32_t t, const LearningRates& rates,
                       const ConvolutionGradient& gradient) {
  std::vector<float> d_weights = gradient.weights;
  std::vector<float> d_scales(scales_.size());
  std::vector<uint8_t> codes(row());
  for (size_t c = 0; c < scales_.size(); ++c) {
    const Levels& set = levels(c);
    EncodeWeights(channel_weights(c), set, scales_[c], codes);
    const float lowest = set.level[0];
    const float highest = set.level[set.count - 1];
    const float inverse = 1 / scales_[c];
    float* g = d_weights.data() + c * row();
    double d_scale = 0;
    for (size_t i = 0; i < row(); ++i) {
      const float x = channel_weights(c)[i] * inverse;
      const bool inside = x >= lowest && x <= highest;
      d_scale += g[i] * (static_cast<float>(set.level[codes[i]]) - (inside ? x : 0.0f));
      if (!inside) g[i] = 0;
    }
    d_scales[c] = static_cast<float>(d_scale);
  }
  weight_adam_.Step(t, rates.weights, d_weights, weights_);
  bias_adam_.Step(t, rates.bias, gradient.bias, bias_);
  if (!trains_scales_) return;
  scale_adam_.Step(t, rates.scales, d_scales, scales_);
  for (size_t c = 0; c < scales_.size(); ++c) scales_[c] = std::max(scales_[c], least_scales_[c]);
}

void LatentLayer::Decide(LayerDecision& layer) const {
  layer.scales.assign(scales_.begin(), scales_.end());
  layer.bias.assign(bias_.begin(), bias_.end());
  for (size_t c = 0; c < scales_.size(); ++c) {
    EncodeWeights(channel_weights(c), levels(c), scales_[c],
                  std::span(layer.codes).subspan(c * row(), row()));
  }
}

}  // namespace mpq
