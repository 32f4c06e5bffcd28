#include "quantize/bias_correction.h"

#include <algorithm>
#include <string>

#include "quantize/integer_run.h"
#include "quantize/lower.h"
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

// The number of convolutions on the longest way from the input, per node.
std::vector<uint32_t> ConvolutionDepths(const Graph& graph) {
  const GraphView view(graph);
  std::vector<uint32_t> depths;
  for (const Node& node : graph.nodes) {
    uint32_t depth = 0;
    for (const uint32_t tensor : node.inputs) {
      const uint32_t producer = view.producer(tensor);
      if (producer != kNone) depth = std::max(depth, depths[producer]);
    }
    depths.push_back(depth + (IsConvolution(node) ? 1 : 0));
  }
  return depths;
}

// The mean input patches of some convolutions of an integer model, in the units of the stored
// tensors.
class QuantizedPatches {
 public:
  QuantizedPatches(const Graph& graph, std::span<const uint32_t> nodes)
      : graph_(graph), nodes_(nodes) {
    for (const uint32_t n : nodes) sums_.emplace_back(graph, graph.nodes[n]);
  }

  // `tensors`: see LoweredModel. What a convolution reads is always stored.
  Status Add(const Session& session, std::span<const uint32_t> tensors,
             const Decisions& decisions) {
    for (size_t i = 0; i < nodes_.size(); ++i) {
      const uint32_t tensor = graph_.nodes[nodes_[i]].inputs[0];
      MPQ_ASSIGN_OR_RETURN(const std::vector<int16_t> codes,
                           session.ReadTensorCodes(tensors[tensor]));
      std::vector<float> steps(codes.begin(), codes.end());
      const auto zero_point = static_cast<float>(decisions.activations[tensor].zero_point);
      for (float& step : steps) step -= zero_point;
      sums_[i].Add(steps);
    }
    return Status();
  }

  void Merge(const QuantizedPatches& other) {
    for (size_t i = 0; i < sums_.size(); ++i) sums_[i].Merge(other.sums_[i]);
  }

  std::vector<double> Mean(size_t i, const Decisions& decisions) const {
    std::vector<double> mean = sums_[i].Mean();
    const double scale = decisions.activations[graph_.nodes[nodes_[i]].inputs[0]].scale;
    for (double& m : mean) m *= scale;
    return mean;
  }

 private:
  const Graph& graph_;
  std::span<const uint32_t> nodes_;
  std::vector<PatchSum> sums_;
};

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

Status CorrectBias(const ModelData& float_model, const Calibration& calibration,
                   const CalibrationImages& images, uint32_t num_images, uint32_t threads,
                   const Progress& progress, Decisions& decisions) {
  const Graph& graph = float_model.graph;
  const std::vector<uint32_t> depths = ConvolutionDepths(graph);
  const uint32_t deepest = *std::max_element(depths.begin(), depths.end());
  ProgressStage stage(progress, "correct biases", deepest);
  for (uint32_t depth = 1; depth <= deepest; ++depth) {
    std::vector<uint32_t> nodes;
    for (uint32_t n = 0; n < graph.nodes.size(); ++n) {
      if (IsConvolution(graph.nodes[n]) && depths[n] == depth) nodes.push_back(n);
    }
    MPQ_ASSIGN_OR_RETURN(LoweredModel lowered, LowerModel(float_model, decisions));
    MPQ_ASSIGN_OR_RETURN(const Model model, Model::FromData(std::move(lowered.data)));
    std::vector<QuantizedPatches> parts(kCalibrationParts, QuantizedPatches(graph, nodes));
    MPQ_RETURN_IF_ERROR(
        RunIntegerModel(model, images, num_images, /*keep_tensors=*/true, threads,
                        /*stage=*/nullptr, [&](uint32_t part, uint32_t, const Session& session) {
                          return parts[part].Add(session, lowered.tensors, decisions);
                        }));
    for (uint32_t part = 1; part < kCalibrationParts; ++part) parts[0].Merge(parts[part]);
    for (size_t i = 0; i < nodes.size(); ++i) {
      MPQ_RETURN_IF_ERROR(
          CorrectLayer(graph, nodes[i], calibration, parts[0].Mean(i, decisions), decisions));
    }
    stage.Step();
  }
  return Status();
}

}  // namespace mpq
