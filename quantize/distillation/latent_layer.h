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

struct LearningRates {
  float weights = 0, scales = 0, bias = 0;
};

// The network sees s_c * L(w / s_c), L the nearest level of the channel's set. With
// straight-through rounding, for the gradient g of what the network sees:
//   dw = g, or 0 where w / s_c is beyond the outermost levels
//   ds = sum over the channel of g * (L(w / s) - w / s), or g * L(w / s) beyond them
// the latter as in LSQ (Esser et al., "Learned Step Size Quantization", 2020), here for any levels.
class LatentLayer {
 public:
  LatentLayer() = default;  // nothing to train
  // Starts from `layer`'s codes, scales and biases: the latent weights are `weights` (effective,
  // ohwi), or what is nearest to them among the reals that round to the codes.
  static Result<LatentLayer> Create(const Graph& graph, const Node& node,
                                    const LayerDecision& layer, std::span<const float> weights);

  // What the network sees, ohwi.
  std::vector<float> QuantizedWeights() const;
  std::span<const float> bias() const { return bias_; }

  // One step of Adam, t = 1, 2, ..., for the gradient of what the network sees.
  void Step(uint32_t t, const LearningRates& rates, const ConvolutionGradient& gradient);

  // Puts codes, scales and biases in place of the layer's.
  void Decide(LayerDecision& layer) const;

  // Everything that training changes, for checkpoints: f(array) for each.
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
  std::vector<float> weights_, scales_, bias_;
  std::vector<float> least_scales_;
  bool trains_scales_ = true;
  Adam weight_adam_, scale_adam_, bias_adam_;
};

}  // namespace mpq

#endif  // MPQ_QUANTIZE_DISTILLATION_LATENT_LAYER_H_
