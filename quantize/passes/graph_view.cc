#include "quantize/passes/graph_view.h"

namespace mpq {

GraphView::GraphView(const Graph& graph)
    : producer_(graph.tensors.size(), kNone),
      consumers_(graph.tensors.size()),
      output_(graph.output) {
  for (uint32_t n = 0; n < graph.nodes.size(); ++n) {
    producer_[graph.nodes[n].output] = n;
    for (const uint32_t tensor : graph.nodes[n].inputs) consumers_[tensor].push_back(n);
  }
}

uint32_t GraphView::only_consumer(uint32_t tensor) const {
  if (tensor == output_ || consumers_[tensor].size() != 1) return kNone;
  return consumers_[tensor][0];
}

}  // namespace mpq
