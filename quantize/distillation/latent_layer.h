// One convolution's weights while they are trained: real numbers behind the codes.
#ifndef MPQ_QUANTIZE_DISTILLATION_LATENT_LAYER_H_
#define MPQ_QUANTIZE_DISTILLATION_LATENT_LAYER_H_

#include <cstdint>
#include <span>
#include <vector>

#include "format/graph.h"
#include "format/level_set.h"
#include "mpq/status.h"
#include "quantize/decisions.h"
#include "quantize/gradient/adam.h"
#include "quantize/gradient/training_network.h"

namespace mpq {

// Relative, so that one rate suits layers and channels of any magnitude: of weights in steps of
// their channel's first scale, of scales as a fraction of the first one, of biases in codes of the
// layer's result.
struct LearningRates {
  float weights = 0, scales = 0, bias = 0;
};

// In units of the channel's first scale the latent weights are w and the scale is s, at first 1.
// The network sees first scale * s * L(w / s), L the nearest level of the channel's set. With
// straight-through rounding, for the gradient g of what the network sees times the first scale:
//   dw = g, or 0 where w / s is beyond the outermost levels
//   ds = sum over the channel of g * (L(w / s) - w / s), or g * L(w / s) beyond them
// the latter as in LSQ (Esser et al., "Learned Step Size Quantization", 2020), here for any levels.
class LatentLayer {
 public:
  LatentLayer() = default;  // nothing to train
  // Starts from `layer`'s codes, scales and biases: the latent weights are `weights` (effective,
  // ohwi) where these round to the codes. `bias_step`: the scale of the layer's result.
  static Result<LatentLayer> Create(const Graph& graph, const Node& node,
                                    const LayerDecision& layer, std::span<const float> weights,
                                    float bias_step);

  // What the network sees, ohwi.
  std::vector<float> QuantizedWeights() const;
  std::vector<float> bias() const;

  // One step of Adam, t = 1, 2, ..., for the gradient of what the network sees.
  void Step(uint32_t t, const LearningRates& rates, const ConvolutionGradient& gradient);

  // Puts codes, scales and biases in place of the layer's.
  void Decide(LayerDecision& layer) const;

  // Everything that training changes, for going on later: f(array) for each.
  template <typename F>
  void ForEachState(F f) {
    for (std::vector<float>* state : {&weights_, &scales_, &bias_}) f(*state);
    for (Adam* adam : {&weight_adam_, &scale_adam_, &bias_adam_}) {
      f(adam->mean());
      f(adam->square());
    }
  }

 private:
  size_t row() const { return weights_.size() / scales_.size(); }
  const Levels& levels(size_t channel) const;
  std::span<const float> channel_weights(size_t channel) const {
    return std::span(weights_).subspan(channel * row(), row());
  }
  void StartAtCodes(std::span<const uint8_t> codes);

  std::vector<Levels> block_levels_;
  std::vector<uint32_t> blocks_;  // of the channels
  std::vector<float> first_scales_;
  float bias_step_ = 1;
  std::vector<float> weights_, scales_, bias_;  // in the units of the learning rates
  bool trains_scales_ = true;
  Adam weight_adam_, scale_adam_, bias_adam_;
};

}  // namespace mpq

#endif  // MPQ_QUANTIZE_DISTILLATION_LATENT_LAYER_H_
