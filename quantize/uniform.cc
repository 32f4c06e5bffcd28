#include "quantize/uniform.h"

#include <algorithm>

#include "quantize/parallel.h"
#include "quantize/passes/graph_view.h"
#include "quantize/weight_range.h"

namespace mpq {

namespace {

// One layer's weights, a row per output channel, and the variance of every weight's input, which is
// what an error in it costs (empty: unknown).
struct Rows {
  std::vector<float> values;
  size_t row_values = 0;
  std::vector<float> variances;  // [groups][row_values]
  uint32_t group_rows = 0;

  std::span<const float> row(uint32_t channel) const {
    return std::span(values).subspan(channel * row_values, row_values);
  }
  std::span<const float> importance(uint32_t channel) const {
    if (variances.empty()) return {};
    return std::span(variances).subspan(channel / group_rows * row_values, row_values);
  }
  uint32_t count() const { return static_cast<uint32_t>(values.size() / row_values); }
};

void SetVariances(const InputMoments& moments, Rows& rows) {
  rows.group_rows = rows.count() / moments.groups;
  for (uint32_t g = 0; g < moments.groups; ++g) {
    for (uint32_t i = 0; i < moments.size; ++i) {
      rows.variances.push_back(moments.group(g)[size_t{i} * (moments.size + 1)]);
    }
  }
}

double BestError(const Rows& rows, const Levels& levels) {
  double error = 0;
  for (uint32_t c = 0; c < rows.count(); ++c) {
    const double scale = ChooseWeightScale(rows.row(c), rows.importance(c), levels);
    error += WeightError(rows.row(c), rows.importance(c), levels, scale > 0 ? scale : 1.0);
  }
  return error;
}

// The level set of `bits`; 1 bit sets the layer's table too.
Result<Levels> ChooseLevels(const Rows& rows, int bits, LayerDecision& layer) {
  if (bits > 1) return UniformLevels(bits);
  const int8_t positive[] = {0, 1};
  const int8_t negative[] = {-1, 0};
  MPQ_ASSIGN_OR_RETURN(const Levels above, TableLevels(1, positive));
  MPQ_ASSIGN_OR_RETURN(const Levels below, TableLevels(1, negative));
  const bool take_negative = BestError(rows, below) < BestError(rows, above);
  layer.level_set = LevelSetKind::kTable;
  layer.tables.assign(take_negative ? negative : positive,
                      (take_negative ? negative : positive) + 2);
  return take_negative ? below : above;
}

class UniformMethod final : public Method {
 public:
  std::string_view name() const override { return "uniform"; }

  Result<std::vector<LayerDecision>> Decide(const MethodInput& input) const override {
    MPQ_ASSIGN_OR_RETURN(const std::vector<uint8_t> bits,
                         ResolveBitWidths(input.graph, input.bit_widths));
    std::vector<LayerDecision> layers(input.graph.nodes.size());
    ProgressStage stage(input.progress, "choose weight scales", layers.size());
    MPQ_RETURN_IF_ERROR(ParallelFor(
        input.threads, static_cast<uint32_t>(layers.size()), [&](uint32_t n, uint32_t) -> Status {
          if (IsConvolution(input.graph.nodes[n])) {
            MPQ_ASSIGN_OR_RETURN(layers[n], DecideLayer(input, n, bits[n]));
          }
          stage.Step();
          return Status();
        }));
    return layers;
  }

 private:
  static Result<LayerDecision> DecideLayer(const MethodInput& input, uint32_t index, int bits) {
    const Node& node = input.graph.nodes[index];
    Rows rows;
    rows.values = EffectiveWeights(input.graph, node, input.equalization);
    rows.row_values = rows.values.size() / input.graph.weights[node.weights].out_channels;
    if (!input.moments.empty()) SetVariances(input.moments[index], rows);
    LayerDecision layer;
    MPQ_ASSIGN_OR_RETURN(const Levels levels, ChooseLevels(rows, bits, layer));
    const CodeLayout layout = MakeCodeLayout(input.graph, node);
    layer.block_bits.assign(layout.blocks(), static_cast<uint8_t>(bits));
    layer.codes.resize(rows.values.size());
    layer.bias = EffectiveBias(input.graph, node, input.equalization);
    for (uint32_t c = 0; c < rows.count(); ++c) {
      const double scale = ChooseWeightScale(rows.row(c), rows.importance(c), levels);
      layer.scales.push_back(scale > 0 ? scale : 1.0);
      EncodeWeights(rows.row(c), levels, scale,
                    std::span(layer.codes).subspan(c * rows.row_values, rows.row_values));
    }
    return layer;
  }
};

}  // namespace

std::unique_ptr<Method> MakeUniformMethod() { return std::make_unique<UniformMethod>(); }

}  // namespace mpq
