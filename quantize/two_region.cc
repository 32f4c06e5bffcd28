#include "quantize/two_region.h"

#include <algorithm>
#include <limits>

#include "quantize/uniform.h"
#include "quantize/weight_range.h"

namespace mpq {

namespace {

// Weights of a row that the choice of a shape looks at: 16 rows of these decide together.
constexpr size_t kSampledWeights = 96;

// Numbers of dense levels that are tried, about.
constexpr int kDenseCounts = 5;

// Every n-th value.
std::vector<float> Sample(std::span<const float> values) {
  std::vector<float> sample;
  const size_t count = std::min(values.size(), kSampledWeights);
  for (size_t i = 0; i < count; ++i) sample.push_back(values[i * values.size() / count]);
  return sample;
}

std::vector<TwoRegionShape> Shapes(int bits) {
  const int positive = (1 << (bits - 1)) - 1;
  std::vector<TwoRegionShape> shapes;
  for (const bool negative : {false, true}) {
    // Without tails there is one: uniform.
    shapes.push_back({1, static_cast<uint8_t>(positive), negative});
    // With 5 and 6 bits neighbours differ little: every third, every sixth.
    const int stride = std::max(positive / kDenseCounts, 1);
    for (int step = 2; step <= 4; ++step) {
      for (int dense = stride; dense < positive; dense += stride) {
        if (dense + step * (positive - dense + 1) > kMaxTwoRegionLevel) continue;
        shapes.push_back({static_cast<uint8_t>(step), static_cast<uint8_t>(dense), negative});
      }
    }
  }
  return shapes;
}

}  // namespace

TwoRegionShape ChooseTwoRegionShape(const WeightRows& rows, uint32_t first, uint32_t count,
                                    int bits) {
  std::vector<std::vector<float>> weights, importance;
  for (uint32_t c = first; c < first + count; ++c) {
    weights.push_back(Sample(rows.row(c)));
    importance.push_back(Sample(rows.importance(c)));
  }
  TwoRegionShape best;
  double least = std::numeric_limits<double>::infinity();
  for (const TwoRegionShape& shape : Shapes(bits)) {
    const Levels levels = TwoRegionLevels(bits, shape).value();  // Shapes makes valid ones
    double error = 0;
    for (size_t i = 0; i < weights.size() && error < least; ++i) {
      const double scale = ChooseWeightScale(weights[i], importance[i], levels, /*coarse=*/true);
      error += WeightError(weights[i], importance[i], levels, scale > 0 ? scale : 1.0);
    }
    if (error >= least) continue;
    least = error;
    best = shape;
  }
  return best;
}

Result<LayerDecision> DecideTwoRegionLayer(const MethodInput& input, uint32_t node, int bits) {
  if (bits < 2 || bits > kMaxTableBits) return DecideUniformLayer(input, node, bits);
  const WeightRows rows(input, node);
  LayerDecision layer = EmptyDecision(input, node, bits);
  layer.level_set = LevelSetKind::kTwoRegion;
  const CodeLayout layout = MakeCodeLayout(input.graph, input.graph.nodes[node]);
  for (uint32_t block = 0; block < layout.blocks(); ++block) {
    const uint32_t first = layout.FirstChannel(block);
    const uint32_t count = layout.BlockChannels(block);
    const TwoRegionShape shape = ChooseTwoRegionShape(rows, first, count, bits);
    layer.block_shapes.push_back(shape.Pack());
    MPQ_ASSIGN_OR_RETURN(const Levels levels, TwoRegionLevels(bits, shape));
    for (uint32_t c = first; c < first + count; ++c) EncodeRow(rows, c, levels, layer);
  }
  return layer;
}

std::unique_ptr<Method> MakeTwoRegionMethod() {
  return MakeLayerwiseMethod("two-region", DecideTwoRegionLayer);
}

}  // namespace mpq
