#include "quantize/passes/fuse_clips.h"

#include <algorithm>

#include "quantize/passes/graph_view.h"

namespace mpq {

namespace {

bool CanFuseActivation(const Node& node) {
  switch (node.kind) {
    case OpKind::kConv:
    case OpKind::kDepthwiseConv:
    case OpKind::kAdd:
    case OpKind::kAvgPool:
    case OpKind::kGlobalAvgPool:
    case OpKind::kClip:
      return true;
    case OpKind::kMaxPool:
    case OpKind::kConcat:
    case OpKind::kSlicePad:
      return false;
  }
  return false;
}

// Clamping to [lo, hi] after what `node` clamps to already.
void ClampAfter(Node& node, float lo, float hi) {
  node.clip_lo = std::clamp(node.clip_lo, lo, hi);
  node.clip_hi = std::clamp(node.clip_hi, lo, hi);
}

// The node that can take over the kClip `clip_index`, walking up through MaxPools; kNone if none.
uint32_t FindTarget(const Graph& graph, const GraphView& view, uint32_t clip_index) {
  uint32_t reader = clip_index;
  for (;;) {
    const uint32_t tensor = graph.nodes[reader].inputs[0];
    const uint32_t producer = view.producer(tensor);
    if (producer == kNone || view.only_consumer(tensor) != reader) return kNone;
    if (CanFuseActivation(graph.nodes[producer])) return producer;
    if (graph.nodes[producer].kind != OpKind::kMaxPool) return kNone;
    reader = producer;
  }
}

bool TryFuse(Graph& graph, uint32_t clip_index) {
  const GraphView view(graph);
  const uint32_t target = FindTarget(graph, view, clip_index);
  if (target == kNone) return false;
  const Node& clip = graph.nodes[clip_index];
  ClampAfter(graph.nodes[target], clip.clip_lo, clip.clip_hi);
  // Whoever made the operand now makes the result.
  graph.nodes[view.producer(clip.inputs[0])].output = clip.output;
  return true;
}

}  // namespace

uint32_t FuseClips(Graph& graph) {
  uint32_t fused = 0;
  for (uint32_t n = 0; n < graph.nodes.size();) {
    if (graph.nodes[n].kind == OpKind::kClip && TryFuse(graph, n)) {
      graph.nodes.erase(graph.nodes.begin() + n);
      ++fused;
    } else {
      ++n;
    }
  }
  return fused;
}

}  // namespace mpq
