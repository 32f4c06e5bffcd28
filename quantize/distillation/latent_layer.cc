#include "quantize/distillation/latent_layer.h"

#include <algorithm>

#include "format/code_layout.h"
#include "quantize/weight_range.h"

namespace mpq {

namespace {

// A scale may not shrink to nothing: it could never come back.
constexpr float kLeastScale = 1.0f / 64;  // of what it was

}  // namespace

Result<LatentLayer> LatentLayer::Create(const Graph& graph, const Node& node,
                                        const LayerDecision& layer, std::span<const float> weights,
                                        float bias_step) {
  LatentLayer latent;
  const Weights description = Description(layer);
  const CodeLayout layout = MakeCodeLayout(graph, node);
  for (uint32_t block = 0; block < layout.blocks(); ++block) {
    MPQ_ASSIGN_OR_RETURN(const Levels levels, BlockLevels(description, block));
    latent.block_levels_.push_back(levels);
    latent.blocks_.insert(latent.blocks_.end(), layout.BlockChannels(block), block);
  }
  latent.first_scales_.assign(layer.scales.begin(), layer.scales.end());
  latent.bias_step_ = bias_step;
  latent.scales_.assign(layer.scales.size(), 1.0f);
  for (const double bias : layer.bias) {
    latent.bias_.push_back(static_cast<float>(bias / bias_step));
  }
  latent.weights_.assign(weights.begin(), weights.end());
  for (size_t i = 0; i < weights.size(); ++i) {
    latent.weights_[i] /= latent.first_scales_[i / latent.row()];
  }
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
    EncodeWeights(channel_weights(c), levels(c), 1, nearest);
    for (size_t i = 0; i < row(); ++i) {
      const uint8_t code = codes[c * row() + i];
      if (nearest[i] != code) weights_[c * row() + i] = levels(c).level[code];
    }
  }
}

std::vector<float> LatentLayer::bias() const {
  std::vector<float> bias = bias_;
  for (float& b : bias) b *= bias_step_;
  return bias;
}

std::vector<float> LatentLayer::QuantizedWeights() const {
  std::vector<float> quantized(weights_.size());
  std::vector<uint8_t> codes(row());
  for (size_t c = 0; c < scales_.size(); ++c) {
    EncodeWeights(channel_weights(c), levels(c), scales_[c], codes);
    const float scale = first_scales_[c] * scales_[c];
    float* out = quantized.data() + c * row();
    for (size_t i = 0; i < row(); ++i) out[i] = scale * levels(c).level[codes[i]];
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
    const float unit = first_scales_[c];
    double d_scale = 0;
    for (size_t i = 0; i < row(); ++i) {
      const float x = channel_weights(c)[i] * inverse;
      const bool inside = x >= lowest && x <= highest;
      g[i] *= unit;
      d_scale += g[i] * (static_cast<float>(set.level[codes[i]]) - (inside ? x : 0.0f));
      if (!inside) g[i] = 0;
    }
    d_scales[c] = static_cast<float>(d_scale);
  }
  weight_adam_.Step(t, rates.weights, d_weights, weights_);
  std::vector<float> d_bias = gradient.bias;
  for (float& d : d_bias) d *= bias_step_;
  bias_adam_.Step(t, rates.bias, d_bias, bias_);
  if (!trains_scales_) return;
  scale_adam_.Step(t, rates.scales, d_scales, scales_);
  for (size_t c = 0; c < scales_.size(); ++c) scales_[c] = std::max(scales_[c], kLeastScale);
}

void LatentLayer::Decide(LayerDecision& layer) const {
  const std::vector<float> bias_values = bias();
  layer.bias.assign(bias_values.begin(), bias_values.end());
  for (size_t c = 0; c < scales_.size(); ++c) {
    layer.scales[c] = first_scales_[c] * scales_[c];
    EncodeWeights(channel_weights(c), levels(c), scales_[c],
                  std::span(layer.codes).subspan(c * row(), row()));
  }
}

}  // namespace mpq
