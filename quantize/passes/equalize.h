// Cross-layer equalisation (Nagel et al., "Data-Free Quantization Through Weight Equalization and
// Bias Correction", 2019), kept as an annotation instead of rewriting the float
// graph: channel c of an equalised tensor is stored divided by its scale, which its producer's
// weights and cap absorb and its consumers' weights undo. So the float graph stays the teacher it
// was, and ReLU6 stays exact: the cap becomes 6 / scale, and integer convolutions have a cap per
// channel.
#ifndef MPQ_QUANTIZE_PASSES_EQUALIZE_H_
#define MPQ_QUANTIZE_PASSES_EQUALIZE_H_

#include <cstdint>
#include <span>
#include <vector>

#include "format/graph.h"

namespace mpq {

class Equalization {
 public:
  Equalization() = default;
  explicit Equalization(size_t num_tensors) : channel_scales_(num_tensors) {}

  // The scale of every channel of a tensor; empty if all are 1.
  std::span<const float> scales(uint32_t tensor) const {
    return tensor < channel_scales_.size() ? std::span<const float>(channel_scales_[tensor])
                                           : std::span<const float>();
  }
  float scale(uint32_t tensor, uint32_t channel) const {
    const auto all = scales(tensor);
    return all.empty() ? 1.0f : all[channel];
  }
  void Set(uint32_t tensor, std::vector<float> scales) {
    channel_scales_[tensor] = std::move(scales);
  }
  // Number of tensors that are equalised.
  uint32_t count() const;

 private:
  std::vector<std::vector<float>> channel_scales_;
};

// Tensors whose channels may be scaled freely: made by a convolution (with a ReLU, ReLU6 or no
// activation), read by convolutions only, and not the graph's output.
std::vector<uint32_t> EqualizableTensors(const Graph& graph);

// Scales from what the channels really use: scale = sqrt(r1 / r2) for a following convolution that
// mixes channels, r1 the largest |activation| of the channel, r2 its largest following weight; and
// r1 alone where only depthwise convolutions follow, whose own weight scales are per channel.
// `channel_magnitudes`: per tensor of the graph, from calibration.
Equalization Equalize(const Graph& graph, std::span<const std::vector<float>> channel_magnitudes);

// The weights and bias a quantiser sees: values * input scale / output scale, bias / output scale.
std::vector<float> EffectiveWeights(const Graph& graph, const Node& node,
                                    const Equalization& equalization);
std::vector<double> EffectiveBias(const Graph& graph, const Node& node,
                                  const Equalization& equalization);

}  // namespace mpq

#endif  // MPQ_QUANTIZE_PASSES_EQUALIZE_H_
