#include "quantize/passes/prune.h"

#include <utility>
#include <vector>

#include "quantize/passes/graph_view.h"

namespace mpq {

namespace {

std::vector<Node> NeededNodes(const Graph& graph) {
  std::vector<bool> needed(graph.tensors.size(), false);
  needed[graph.output] = true;
  std::vector<Node> kept;
  for (size_t n = graph.nodes.size(); n-- > 0;) {
    const Node& node = graph.nodes[n];
    if (!needed[node.output]) continue;
    for (const uint32_t tensor : node.inputs) needed[tensor] = true;
    kept.push_back(node);
  }
  return std::vector<Node>(kept.rbegin(), kept.rend());
}

}  // namespace

void Prune(Graph& graph) {
  Graph pruned;
  std::vector<uint32_t> renumbered(graph.tensors.size(), kNone);
  const auto keep_tensor = [&](uint32_t tensor) {
    renumbered[tensor] = static_cast<uint32_t>(pruned.tensors.size());
    pruned.tensors.push_back(std::move(graph.tensors[tensor]));
    return renumbered[tensor];
  };
  pruned.nodes = NeededNodes(graph);
  pruned.input = keep_tensor(graph.input);
  for (Node& node : pruned.nodes) {
    for (uint32_t& tensor : node.inputs) tensor = renumbered[tensor];
    node.output = keep_tensor(node.output);
    if (!IsConvolution(node)) continue;
    pruned.weights.push_back(graph.weights[node.weights]);
    node.weights = static_cast<uint32_t>(pruned.weights.size() - 1);
  }
  pruned.output = renumbered[graph.output];
  graph = std::move(pruned);
}

}  // namespace mpq
