#include "quantize/rounding/layers.h"

#include "quantize/nearest_level.h"
#include "quantize/parallel.h"
#include "quantize/passes/graph_view.h"
#include "quantize/rounding/rows.h"

namespace mpq {

namespace {

// The level set of every output channel.
Result<std::vector<Levels>> BlockSets(const CodeLayout& layout, const LayerDecision& layer) {
  std::vector<Levels> sets;
  const Weights description = Description(layer);
  for (uint32_t block = 0; block < layout.blocks(); ++block) {
    MPQ_ASSIGN_OR_RETURN(sets.emplace_back(), BlockLevels(description, block));
  }
  return sets;
}

}  // namespace

Status RoundLayer(const Graph& graph, const Node& node, const InputMoments& moments,
                  std::span<const float> weights, LayerDecision& layer) {
  const CodeLayout layout = MakeCodeLayout(graph, node);
  MPQ_ASSIGN_OR_RETURN(const std::vector<Levels> sets, BlockSets(layout, layer));
  std::vector<const Levels*> channel_levels;
  for (uint32_t block = 0; block < layout.blocks(); ++block) {
    channel_levels.insert(channel_levels.end(), layout.BlockChannels(block), &sets[block]);
  }
  const auto rows = static_cast<uint32_t>(channel_levels.size() / moments.groups);
  for (uint32_t g = 0; g < moments.groups; ++g) {
    const size_t first_row = size_t{g} * rows;
    const size_t first = first_row * moments.size;
    const size_t count = size_t{rows} * moments.size;
    RowProblem problem{rows, moments.size, weights.subspan(first, count), moments.group(g), {}};
    for (uint32_t r = 0; r < rows; ++r) problem.levels.push_back(channel_levels[first_row + r]);
    const std::span<double> scales = std::span(layer.scales).subspan(first_row, rows);
    const RoundedRows rounded = RoundRows(problem, scales, !layer.shifted);
    std::copy(rounded.scales.begin(), rounded.scales.end(), scales.begin());
    for (uint32_t r = 0; r < rows; ++r) {
      const CodeOfLevel code(*problem.levels[r]);
      for (size_t i = size_t{r} * moments.size; i < size_t{r + 1} * moments.size; ++i) {
        layer.codes[first + i] = code(rounded.levels[i]);
      }
    }
  }
  return Status();
}

Status RoundLayers(const Graph& graph, const Equalization& equalization,
                   std::span<const InputMoments> moments, uint32_t threads,
                   const Progress& progress, std::vector<LayerDecision>& layers) {
  ProgressStage stage(progress, "round weights", layers.size());
  return ParallelFor(threads, static_cast<uint32_t>(layers.size()), [&](uint32_t n, uint32_t) {
    Status status;
    if (IsConvolution(graph.nodes[n])) {
      const Node& node = graph.nodes[n];
      const std::vector<float> weights = EffectiveWeights(graph, node, equalization);
      status = RoundLayer(graph, node, moments[n], weights, layers[n]);
      if (!status.ok()) status = status.WithContext("layer '" + node.name + "'");
    }
    stage.Step();
    return status;
  });
}

Status MatchLayerVariances(const Graph& graph, const Equalization& equalization,
                           std::span<const InputMoments> moments, uint32_t threads,
                           std::vector<LayerDecision>& layers) {
  return ParallelFor(
      threads, static_cast<uint32_t>(layers.size()), [&](uint32_t n, uint32_t) -> Status {
        const Node& node = graph.nodes[n];
        if (!IsConvolution(node) || layers[n].shifted) return Status();
        const std::vector<float> weights = EffectiveWeights(graph, node, equalization);
        MPQ_ASSIGN_OR_RETURN(const std::vector<int8_t> levels, LayerLevels(graph, node, layers[n]));
        const std::vector<float> level_values(levels.begin(), levels.end());
        const auto rows = static_cast<uint32_t>(layers[n].scales.size() / moments[n].groups);
        for (uint32_t g = 0; g < moments[n].groups; ++g) {
          const size_t count = size_t{rows} * moments[n].size;
          MatchVariances(moments[n].group(g), std::span(weights).subspan(g * count, count),
                         std::span(level_values).subspan(g * count, count),
                         std::span(layers[n].scales).subspan(size_t{g} * rows, rows));
        }
        return Status();
      });
}

}  // namespace mpq
