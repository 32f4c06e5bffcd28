#include "quantize/residuals.h"

#include <algorithm>
#include <cmath>

#include "format/requantize.h"
#include "quantize/passes/graph_view.h"

namespace mpq {

namespace {

// A requantised accumulator saturates at no less than so many codes of the output, either sign.
constexpr double kUnsaturatedCodes = 256;

struct Range {
  double lo, hi;
};

// What a tensor can hold, in units of `step`.
Range RangeOf(const ActivationDecision& tensor, double step) {
  const double unit = tensor.scale / step;
  const int top = (1 << tensor.bits) - 1;
  return {-tensor.zero_point * unit, (top - tensor.zero_point) * unit};
}

// Where the convolution saturates, the sum is beyond what is stored of it anyway.
bool SaturatesUnseen(const Node& sum, const Range& conv, const Range& residual, const Range& stored,
                     double step) {
  const double lowest = std::max(stored.lo, sum.clip_lo / step);
  const double highest = std::min(stored.hi, sum.clip_hi / step);
  return (conv.lo >= -kUnsaturatedCodes || residual.hi - kUnsaturatedCodes <= lowest) &&
         (conv.hi <= kUnsaturatedCodes || residual.lo + kUnsaturatedCodes >= highest);
}

bool CanTakeIn(const Graph& graph, const GraphView& view, const Decisions& decisions, uint32_t conv,
               uint32_t addition) {
  const Node& node = graph.nodes[conv];
  const Node& sum = graph.nodes[addition];
  if (node.kind != OpKind::kConv || decisions.layers[conv].shifted) return false;
  if (!std::isinf(node.clip_lo) || !std::isinf(node.clip_hi)) return false;
  if (view.only_consumer(node.output) != addition || sum.output == graph.output) return false;
  const ActivationDecision& dst = decisions.activations[sum.output];
  const ActivationDecision& residual = decisions.activations[OtherOperand(sum, node.output)];
  return ResidualMultiplier(residual, dst) <= kMaxResidualMultiplier &&
         SaturatesUnseen(sum, RangeOf(decisions.activations[node.output], dst.scale),
                         RangeOf(residual, dst.scale), RangeOf(dst, dst.scale), dst.scale);
}

}  // namespace

uint32_t OtherOperand(const Node& addition, uint32_t tensor) {
  return addition.inputs[addition.inputs[0] == tensor ? 1 : 0];
}

int32_t ResidualMultiplier(const ActivationDecision& residual, const ActivationDecision& sum) {
  constexpr double kBeyond = kMaxResidualMultiplier + 1.0;
  const double multiplier = std::ldexp(double{residual.scale} / sum.scale, 14);
  return static_cast<int32_t>(std::min(std::round(multiplier), kBeyond));
}

std::vector<uint32_t> ChooseResiduals(const Graph& graph, const Decisions& decisions) {
  const GraphView view(graph);
  std::vector<uint32_t> additions(graph.nodes.size(), kNone);
  for (uint32_t n = 0; n < graph.nodes.size(); ++n) {
    if (graph.nodes[n].kind != OpKind::kAdd) continue;
    uint32_t latest = kNone;
    for (const uint32_t tensor : graph.nodes[n].inputs) {
      const uint32_t producer = view.producer(tensor);
      if (producer == kNone || !CanTakeIn(graph, view, decisions, producer, n)) continue;
      if (latest == kNone || producer > latest) latest = producer;
    }
    if (latest != kNone) additions[latest] = n;
  }
  return additions;
}

}  // namespace mpq
