#include "quantize/passes/fold_affine.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "quantize/passes/graph_view.h"

namespace mpq {

namespace {

bool HasActivation(const Node& node) {
  return !std::isinf(node.clip_lo) || !std::isinf(node.clip_hi);
}

bool IsAffine(const Node& node) {
  return node.kind == OpKind::kDepthwiseConv && node.window == Window{};
}

bool Pads(const Window& w) {
  return w.pad_top != 0 || w.pad_left != 0 || w.pad_bottom != 0 || w.pad_right != 0;
}

// conv, then affine: w' = a * w, b' = a * b + c.
void FoldBackward(Graph& graph, Node& conv, const Node& affine) {
  Weights& weights = graph.weights[conv.weights];
  const Weights& step = graph.weights[affine.weights];
  std::vector<float> values = weights.values.ToVector();
  std::vector<float> bias = weights.bias.ToVector();
  const size_t row = values.size() / weights.out_channels;
  for (uint32_t c = 0; c < weights.out_channels; ++c) {
    const double a = step.values[c];
    for (size_t i = c * row; i < (c + 1) * row; ++i) values[i] = static_cast<float>(a * values[i]);
    bias[c] = static_cast<float>(a * bias[c] + step.bias[c]);
  }
  weights.values = std::move(values);
  weights.bias = std::move(bias);
  conv.output = affine.output;
  conv.clip_lo = affine.clip_lo;
  conv.clip_hi = affine.clip_hi;
}

// affine, then conv: w' = w * a, b' = b + sum(w * c).
void FoldForward(Graph& graph, const Node& affine, Node& conv) {
  Weights& weights = graph.weights[conv.weights];
  const Weights& step = graph.weights[affine.weights];
  std::vector<float> values = weights.values.ToVector();
  std::vector<double> bias(weights.bias.begin(), weights.bias.end());
  const InputChannelIndex input_channel(graph, conv);
  const size_t row = values.size() / weights.out_channels;
  for (size_t i = 0; i < values.size(); ++i) {
    const uint32_t c = input_channel(i);
    bias[i / row] += double{values[i]} * step.bias[c];
    values[i] = static_cast<float>(double{values[i]} * step.values[c]);
  }
  weights.values = std::move(values);
  weights.bias = std::vector<float>(bias.begin(), bias.end());
  conv.inputs[0] = affine.inputs[0];
}

bool TryFold(Graph& graph, uint32_t affine_index) {
  const GraphView view(graph);
  const Node& affine = graph.nodes[affine_index];
  const uint32_t before = view.producer(affine.inputs[0]);
  if (before != kNone && view.only_consumer(affine.inputs[0]) == affine_index &&
      IsConvolution(graph.nodes[before]) && !HasActivation(graph.nodes[before])) {
    FoldBackward(graph, graph.nodes[before], affine);
    return true;
  }
  const uint32_t after = view.only_consumer(affine.output);
  if (after == kNone || !IsConvolution(graph.nodes[after]) || HasActivation(affine)) return false;
  const Buffer<float>& shift = graph.weights[affine.weights].bias;
  const bool shifts = std::any_of(shift.begin(), shift.end(), [](float c) { return c != 0; });
  if (shifts && Pads(graph.nodes[after].window)) return false;
  FoldForward(graph, affine, graph.nodes[after]);
  return true;
}

}  // namespace

uint32_t FoldAffine(Graph& graph) {
  uint32_t folded = 0;
  for (uint32_t n = 0; n < graph.nodes.size();) {
    if (!IsAffine(graph.nodes[n]) || !TryFold(graph, n)) {
      ++n;
      continue;
    }
    // Its neighbour may be an affine step itself that can move on only now: look again.
    graph.nodes.erase(graph.nodes.begin() + n);
    ++folded;
    n = 0;
  }
  return folded;
}

}  // namespace mpq
