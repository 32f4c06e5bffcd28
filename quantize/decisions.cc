#include "quantize/decisions.h"

namespace mpq {

Weights Description(const LayerDecision& layer) {
  Weights description;
  description.level_set = layer.level_set;
  description.block_bits = layer.block_bits;
  description.block_shapes = layer.block_shapes;
  description.tables = layer.tables;
  return description;
}

Result<std::vector<int8_t>> LayerLevels(const Graph& graph, const Node& node,
                                        const LayerDecision& layer) {
  const CodeLayout layout = MakeCodeLayout(graph, node);
  const Weights description = Description(layer);
  std::vector<int8_t> levels(layer.codes.size());
  const size_t row = levels.size() / graph.weights[node.weights].out_channels;
  for (uint32_t block = 0; block < layout.blocks(); ++block) {
    MPQ_ASSIGN_OR_RETURN(const Levels set, BlockLevels(description, block));
    const size_t first = layout.FirstChannel(block) * row;
    const size_t last = first + layout.BlockChannels(block) * row;
    for (size_t i = first; i < last; ++i) levels[i] = set.level[layer.codes[i]];
  }
  return levels;
}

}  // namespace mpq
