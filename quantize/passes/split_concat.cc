#include "quantize/passes/split_concat.h"

#include <vector>

namespace mpq {

namespace {

// Tensors whose codes are the input's own: itself, and what MaxPool and SlicePad make of it.
std::vector<bool> InputCodes(const Graph& graph) {
  std::vector<bool> tied(graph.tensors.size(), false);
  tied[graph.input] = true;
  for (const Node& node : graph.nodes) {
    if (node.kind == OpKind::kMaxPool || node.kind == OpKind::kSlicePad) {
      tied[node.output] = tied[node.inputs[0]];
    }
  }
  return tied;
}

uint32_t AppendCopy(Graph& graph, uint32_t tensor, std::vector<Node>& nodes) {
  const auto copy = static_cast<uint32_t>(graph.tensors.size());
  graph.tensors.push_back(graph.tensors[tensor]);
  graph.tensors[copy].name += "_requantised";
  Node node;
  node.kind = OpKind::kClip;
  node.name = graph.tensors[copy].name;
  node.inputs = {tensor};
  node.output = copy;
  nodes.push_back(std::move(node));
  return copy;
}

}  // namespace

uint32_t SplitConcat(Graph& graph) {
  const std::vector<bool> tied = InputCodes(graph);
  std::vector<Node> nodes;
  uint32_t copies = 0;
  for (Node& node : graph.nodes) {
    if (node.kind == OpKind::kConcat) {
      for (uint32_t& tensor : node.inputs) {
        if (!tied[tensor]) continue;
        tensor = AppendCopy(graph, tensor, nodes);
        ++copies;
      }
    }
    nodes.push_back(std::move(node));
  }
  graph.nodes = std::move(nodes);
  return copies;
}

}  // namespace mpq
