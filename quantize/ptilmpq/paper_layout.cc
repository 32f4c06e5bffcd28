#include "quantize/ptilmpq/paper_layout.h"

#include <algorithm>
#include <utility>

#include "format/code_layout.h"
#include "mpq/model.h"
#include "quantize/passes/graph_view.h"
#include "quantize/patch_mean.h"
#include "quantize/progress.h"
#include "quantize/ptilmpq/pwlq.h"

namespace mpq {

namespace {

constexpr int kLeastNominalBits = 2;  // one bit is a single level in each piece: 0

// Replaces the weights of a node of `graph`.
void QuantizeLayer(const Node& node, const LayerDecision& layer, int region_bits,
                   std::span<const double> patch_mean, Graph& graph, PaperLayout& layout) {
  Weights& weights = graph.weights[node.weights];
  const CodeLayout blocks = MakeCodeLayout(graph, node);
  const size_t row = weights.values.size() / weights.out_channels;
  std::vector<float> values;
  for (uint32_t block = 0; block < blocks.blocks(); ++block) {
    const int nominal = std::max(layer.block_bits[block] - region_bits, kLeastNominalBits);
    for (uint32_t i = 0; i < blocks.BlockChannels(block); ++i) {
      const size_t channel = blocks.FirstChannel(block) + i;
      const std::vector<float> quantized =
          QuantizePwlq(weights.values.span().subspan(channel * row, row), nominal);
      values.insert(values.end(), quantized.begin(), quantized.end());
      layout.nominal_bits += row * static_cast<uint64_t>(nominal);
      layout.stored_bits += row * static_cast<uint64_t>(nominal + 1);
    }
  }
  std::vector<double> errors(weights.values.begin(), weights.values.end());
  for (size_t i = 0; i < errors.size(); ++i) errors[i] -= values[i];
  const std::vector<double> means = MeanOutput(graph, node, errors, patch_mean);
  std::vector<float> bias = weights.bias.ToVector();
  for (size_t c = 0; c < means.size(); ++c) bias[c] += static_cast<float>(means[c]);
  weights.values = std::move(values);
  weights.bias = std::move(bias);
}

Result<PaperLayout> Measure(const ModelData& float_model, const CalibrationImages& images,
                            const Calibration& calibration, const Decisions& decisions,
                            int region_bits, uint32_t threads) {
  PaperLayout layout;
  ModelData data = float_model;
  for (uint32_t n = 0; n < data.graph.nodes.size(); ++n) {
    if (!IsConvolution(data.graph.nodes[n])) continue;
    QuantizeLayer(data.graph.nodes[n], decisions.layers[n], region_bits, calibration.patch_means[n],
                  data.graph, layout);
  }
  MPQ_ASSIGN_OR_RETURN(const Model model, Model::FromData(std::move(data)));
  MPQ_ASSIGN_OR_RETURN(const std::vector<float> logits,
                       ModelLogits(model, images, threads, Progress()));
  layout.agreement = CompareLogits(calibration.logits, logits, images.count);
  return layout;
}

}  // namespace

Result<std::vector<PaperLayout>> MeasurePaperLayouts(const ModelData& float_model,
                                                     const CalibrationImages& images,
                                                     const Calibration& calibration,
                                                     const Decisions& decisions, uint32_t threads) {
  std::vector<PaperLayout> layouts;
  for (const int region_bits : {1, 0}) {
    MPQ_ASSIGN_OR_RETURN(layouts.emplace_back(), Measure(float_model, images, calibration,
                                                         decisions, region_bits, threads));
  }
  return layouts;
}

}  // namespace mpq
