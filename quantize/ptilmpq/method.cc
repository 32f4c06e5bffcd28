#include "quantize/ptilmpq/method.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "format/message.h"
#include "quantize/allocation/allocation.h"
#include "quantize/allocation/sensitivity.h"
#include "quantize/passes/graph_view.h"
#include "quantize/ptilmpq/selection.h"
#include "quantize/two_region.h"
#include "quantize/weight_rows.h"

namespace mpq {

namespace {

// A layer at the low and the high width; the same twice where the user fixed it.
struct Candidates {
  uint32_t node = 0;
  LayerDecision low, high;
  LayerImportance importance;
};

size_t RowValues(const LayerDecision& layer) { return layer.codes.size() / layer.scales.size(); }

void CopyBlock(const CodeLayout& layout, uint32_t block, const LayerDecision& src,
               LayerDecision& dst) {
  dst.block_bits[block] = src.block_bits[block];
  if (!src.block_shapes.empty()) dst.block_shapes[block] = src.block_shapes[block];
  const size_t row = RowValues(src);
  const size_t first = layout.FirstChannel(block);
  const size_t count = layout.BlockChannels(block);
  std::copy_n(src.codes.data() + first * row, count * row, dst.codes.data() + first * row);
  std::copy_n(src.scales.data() + first, count, dst.scales.data() + first);
  std::copy_n(src.bias.data() + first, count, dst.bias.data() + first);
}

// sum |w| per output channel.
std::vector<double> Magnitudes(const WeightRows& rows) {
  std::vector<double> magnitudes(rows.count());
  for (uint32_t c = 0; c < rows.count(); ++c) {
    for (const float w : rows.row(c)) magnitudes[c] += std::abs(w);
  }
  return magnitudes;
}

// |w - w_q|^2 / |w|^2
Result<double> RelativeError(const MethodInput& input, uint32_t node, const WeightRows& rows,
                             const LayerDecision& layer) {
  MPQ_ASSIGN_OR_RETURN(const std::vector<int8_t> levels,
                       LayerLevels(input.graph, input.graph.nodes[node], layer));
  double error = 0;
  double size = 0;
  for (size_t i = 0; i < levels.size(); ++i) {
    const double w = rows.values[i];
    error += std::pow(w - layer.scales[i / rows.row_values] * levels[i], 2);
    size += w * w;
  }
  return size > 0 ? error / size : 0;
}

// `channel_importance`: per output channel.
LayerImportance ImportanceOf(const MethodInput& input, const Candidates& layer, double sensitivity,
                             std::span<const double> channel_importance) {
  const Node& node = input.graph.nodes[layer.node];
  const CodeLayout layout = MakeCodeLayout(input.graph, node);
  LayerImportance importance;
  importance.sensitivity = sensitivity;
  importance.always_high = node.inputs[0] == input.graph.input || node.output == input.graph.output;
  for (uint32_t block = 0; block < layout.blocks(); ++block) {
    BlockImportance& entry = importance.blocks.emplace_back();
    entry.channels = layout.BlockChannels(block);
    entry.extra_bytes = layout.BlockBytes(layer.high.block_bits[block]) -
                        layout.BlockBytes(layer.low.block_bits[block]);
    for (uint32_t i = 0; i < entry.channels; ++i) {
      entry.importance += channel_importance[layout.FirstChannel(block) + i];
    }
  }
  return importance;
}

class PtilmpqMethod final : public Method {
 public:
  explicit PtilmpqMethod(const PtilmpqOptions& options) : options_(options) {}

  std::string_view name() const override { return "ptilmpq"; }
  bool chooses_bits() const override { return true; }

  Result<std::vector<LayerDecision>> Decide(const MethodInput& input) const override {
    MPQ_RETURN_IF_ERROR(CheckPtilmpqOptions(options_));
    const bool measure = !options_.data_free && input.images != nullptr && !input.moments.empty();
    MPQ_ASSIGN_OR_RETURN(const std::vector<Candidates> candidates,
                         measure ? MeasuredCandidates(input) : DataFreeCandidates(input));
    if (input.target_bytes == 0) return Splice(input, candidates, options_.alpha);
    return FitAlpha(input, candidates);
  }

 private:
  // Importance by what the integer engine's output and the layers' outputs lose.
  Result<std::vector<Candidates>> MeasuredCandidates(const MethodInput& input) const {
    const int widths[] = {options_.low_bits, options_.high_bits, 8};
    MPQ_ASSIGN_OR_RETURN(std::vector<LayerSensitivity> table,
                         MeasureSensitivity(*input.model, *input.images, *MakeTwoRegionMethod(),
                                            input, *input.decisions, widths));
    std::vector<Candidates> candidates;
    for (LayerSensitivity& entry : table) {
      const bool fixed = entry.options.size() == 1;
      WidthOption& low = entry.options.front();
      WidthOption& high = entry.options[fixed ? 0 : 1];
      std::vector<double> saved = low.errors;
      for (size_t c = 0; c < saved.size(); ++c) saved[c] -= high.errors[c];
      const double sensitivity = entry.Loss(low);
      Candidates& layer = candidates.emplace_back();
      layer.node = entry.node;
      layer.high = high.layer;
      layer.low = std::move(low.layer);
      layer.importance = ImportanceOf(input, layer, sensitivity, saved);
    }
    return candidates;
  }

  Result<std::vector<Candidates>> DataFreeCandidates(const MethodInput& input) const {
    const BitWidths low_widths = WithWeights(input.bit_widths, options_.low_bits);
    const BitWidths high_widths = WithWeights(input.bit_widths, options_.high_bits);
    const auto decide = [&](const BitWidths& widths) {
      return MakeTwoRegionMethod()->Decide({input.graph, input.equalization, input.calibration,
                                            input.moments, widths, input.seed, input.threads,
                                            input.progress});
    };
    MPQ_ASSIGN_OR_RETURN(std::vector<LayerDecision> low, decide(low_widths));
    MPQ_ASSIGN_OR_RETURN(std::vector<LayerDecision> high, decide(high_widths));
    std::vector<Candidates> candidates;
    for (uint32_t n = 0; n < input.graph.nodes.size(); ++n) {
      if (!IsConvolution(input.graph.nodes[n])) continue;
      const WeightRows rows(input, n);
      MPQ_ASSIGN_OR_RETURN(const double error, RelativeError(input, n, rows, low[n]));
      Candidates& layer = candidates.emplace_back();
      layer.node = n;
      layer.low = std::move(low[n]);
      layer.high = std::move(high[n]);
      layer.importance = ImportanceOf(input, layer, error, Magnitudes(rows));
    }
    return candidates;
  }

  // Rows are rounded independently of each other, so blocks of both can be put together.
  std::vector<LayerDecision> Splice(const MethodInput& input,
                                    std::span<const Candidates> candidates, double alpha) const {
    std::vector<LayerImportance> importances;
    for (const Candidates& layer : candidates) importances.push_back(layer.importance);
    const std::vector<std::vector<bool>> high = SelectHighBlocks(importances, alpha, options_.mode);
    std::vector<LayerDecision> layers(input.graph.nodes.size());
    for (size_t i = 0; i < candidates.size(); ++i) {
      const Candidates& layer = candidates[i];
      const CodeLayout layout = MakeCodeLayout(input.graph, input.graph.nodes[layer.node]);
      LayerDecision& decision = layers[layer.node];
      decision = layer.low;
      for (uint32_t block = 0; block < layout.blocks(); ++block) {
        if (high[i][block]) CopyBlock(layout, block, layer.high, decision);
      }
    }
    return layers;
  }

  // Size never falls as alpha grows.
  Result<std::vector<LayerDecision>> FitAlpha(const MethodInput& input,
                                              std::span<const Candidates> candidates) const {
    constexpr int kSteps = 20;
    Decisions decisions = *input.decisions;
    const auto bytes_at = [&](double alpha) -> Result<uint64_t> {
      decisions.layers = Splice(input, candidates, alpha);
      return FileBytes(*input.model, decisions);
    };
    MPQ_ASSIGN_OR_RETURN(const uint64_t least, bytes_at(0));
    if (least > input.target_bytes) {
      return Error(ErrorCode::kInvalidArgument, "target size: ", input.target_bytes,
                   " bytes, but alpha 0 with ", options_.low_bits, " bits makes a file of ", least);
    }
    MPQ_ASSIGN_OR_RETURN(const uint64_t most, bytes_at(1));
    if (most <= input.target_bytes) return std::move(decisions.layers);
    double fits = 0;
    double too_large = 1;
    for (int step = 0; step < kSteps; ++step) {
      const double alpha = (fits + too_large) / 2;
      MPQ_ASSIGN_OR_RETURN(const uint64_t bytes, bytes_at(alpha));
      (bytes <= input.target_bytes ? fits : too_large) = alpha;
    }
    return Splice(input, candidates, fits);
  }

  PtilmpqOptions options_;
};

}  // namespace

std::unique_ptr<Method> MakePtilmpqMethod(const MethodOptions& options) {
  return std::make_unique<PtilmpqMethod>(options.ptilmpq);
}

}  // namespace mpq
