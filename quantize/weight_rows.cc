#include "quantize/weight_rows.h"

#include "quantize/weight_range.h"

namespace mpq {

WeightRows::WeightRows(const MethodInput& input, uint32_t node)
    : values(EffectiveWeights(input.graph, input.graph.nodes[node], input.equalization)) {
  const uint32_t channels = input.graph.weights[input.graph.nodes[node].weights].out_channels;
  row_values = values.size() / channels;
  if (input.moments.empty()) return;
  const InputMoments& moments = input.moments[node];
  group_rows = channels / moments.groups;
  for (uint32_t g = 0; g < moments.groups; ++g) {
    for (uint32_t i = 0; i < moments.size; ++i) {
      variances.push_back(moments.group(g)[size_t{i} * (moments.size + 1)]);
    }
  }
}

void EncodeRow(const WeightRows& rows, uint32_t channel, const Levels& levels,
               LayerDecision& layer) {
  const double scale = ChooseWeightScale(rows.row(channel), rows.importance(channel), levels);
  layer.scales[channel] = scale > 0 ? scale : 1.0;
  EncodeWeights(rows.row(channel), levels, scale,
                std::span(layer.codes).subspan(channel * rows.row_values, rows.row_values));
}

LayerDecision EmptyDecision(const MethodInput& input, uint32_t node, int bits) {
  const Node& convolution = input.graph.nodes[node];
  const Weights& weights = input.graph.weights[convolution.weights];
  LayerDecision layer;
  layer.block_bits.assign(MakeCodeLayout(input.graph, convolution).blocks(),
                          static_cast<uint8_t>(bits));
  layer.codes.resize(size_t{weights.out_channels} * weights.kernel_h * weights.kernel_w *
                     weights.in_channels);
  layer.scales.resize(weights.out_channels);
  layer.bias = EffectiveBias(input.graph, convolution, input.equalization);
  return layer;
}

}  // namespace mpq
