#include "quantize/passes/end_with_conv.h"

#include <cmath>
#include <vector>

#include "quantize/passes/graph_view.h"

namespace mpq {

bool EndWithConv(Graph& graph) {
  const GraphView view(graph);
  const uint32_t last = view.producer(graph.output);
  if (last != kNone && view.consumers(graph.output).empty()) {
    const Node& node = graph.nodes[last];
    if (IsConvolution(node) && std::isinf(node.clip_lo) && std::isinf(node.clip_hi)) return false;
  }
  Tensor logits = graph.tensors[graph.output];
  logits.name += "_logits";
  Weights ones;
  ones.out_channels = logits.channels;
  ones.in_channels = 1;
  ones.values = std::vector<float>(logits.channels, 1.0f);
  ones.bias = std::vector<float>(logits.channels, 0.0f);
  Node node;
  node.kind = OpKind::kDepthwiseConv;
  node.name = logits.name;
  node.inputs = {graph.output};
  node.groups = logits.channels;
  node.output = static_cast<uint32_t>(graph.tensors.size());
  node.weights = static_cast<uint32_t>(graph.weights.size());
  graph.output = node.output;
  graph.tensors.push_back(std::move(logits));
  graph.weights.push_back(std::move(ones));
  graph.nodes.push_back(std::move(node));
  return true;
}

}  // namespace mpq
