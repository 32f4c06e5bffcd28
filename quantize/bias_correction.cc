#include "quantize/bias_correction.h"

#include "quantize/passes/graph_view.h"
#include "quantize/patch_mean.h"

namespace mpq {

namespace {

// Dequantised effective weights.
Result<std::vector<double>> QuantizedWeights(const Graph& graph, const Node& node,
                                             const LayerDecision& layer) {
  MPQ_ASSIGN_OR_RETURN(const std::vector<int8_t> levels, LayerLevels(graph, node, layer));
  std::vector<double> values(levels.begin(), levels.end());
  const size_t row = values.size() / layer.scales.size();
  for (size_t i = 0; i < values.size(); ++i) values[i] *= layer.scales[i / row];
  return values;
}

// E[pre-activation] of the float layer, as the integer one stores it.
std::vector<double> FloatMeans(const Graph& graph, const Node& node,
                               const Equalization& equalization, std::span<const double> patch) {
  const Weights& weights = graph.weights[node.weights];
  const std::vector<double> values(weights.values.begin(), weights.values.end());
  std::vector<double> means = MeanOutput(graph, node, values, patch);
  for (uint32_t c = 0; c < means.size(); ++c) {
    means[c] = (means[c] + weights.bias[c]) / equalization.scale(node.output, c);
  }
  return means;
}

// A float mean patch in the units of the stored tensor.
std::vector<double> EqualizedPatch(const Node& node, const Equalization& equalization,
                                   std::span<const double> patch, uint32_t channels) {
  std::vector<double> result(patch.begin(), patch.end());
  for (size_t i = 0; i < result.size(); ++i) {
    result[i] /= equalization.scale(node.inputs[0], static_cast<uint32_t>(i % channels));
  }
  return result;
}

Status CorrectLayer(const Graph& graph, uint32_t n, const Calibration& calibration,
                    std::span<const double> quantized_patch, Decisions& decisions) {
  const Node& node = graph.nodes[n];
  LayerDecision& layer = decisions.layers[n];
  MPQ_ASSIGN_OR_RETURN(const std::vector<double> weights, QuantizedWeights(graph, node, layer));
  const std::vector<double> wanted =
      FloatMeans(graph, node, decisions.equalization, calibration.patch_means[n]);
  const std::vector<double> got = MeanOutput(graph, node, weights, quantized_patch);
  for (size_t c = 0; c < wanted.size(); ++c) layer.bias[c] = wanted[c] - got[c];
  return Status();
}

}  // namespace

Status CorrectBiasForWeights(const Graph& graph, const Calibration& calibration,
                             Decisions& decisions) {
  for (uint32_t n = 0; n < graph.nodes.size(); ++n) {
    const Node& node = graph.nodes[n];
    if (!IsConvolution(node)) continue;
    const std::vector<double> patch =
        EqualizedPatch(node, decisions.equalization, calibration.patch_means[n],
                       graph.tensors[node.inputs[0]].channels);
    MPQ_RETURN_IF_ERROR(CorrectLayer(graph, n, calibration, patch, decisions));
  }
  return Status();
}

}  // namespace mpq
