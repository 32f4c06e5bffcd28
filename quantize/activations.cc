#include "quantize/activations.h"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace mpq {

namespace {

// Requantised logits have 15 bits, and those whose multiplier is smallest saturate at 2^14: this
// leaves room for logits 1.6 times as large as calibration's.
constexpr float kLogitSteps = 10000.0f;

uint32_t FindGroup(std::vector<uint32_t>& parent, uint32_t tensor) {
  while (parent[tensor] != tensor) tensor = parent[tensor] = parent[parent[tensor]];
  return tensor;
}

void Unite(std::vector<uint32_t>& parent, uint32_t a, uint32_t b) {
  a = FindGroup(parent, a);
  b = FindGroup(parent, b);
  parent[std::max(a, b)] = std::min(a, b);
}

bool MovesCodes(OpKind kind) {
  return kind == OpKind::kMaxPool || kind == OpKind::kSlicePad || kind == OpKind::kConcat;
}

}  // namespace

std::vector<uint32_t> SharingGroups(const Graph& graph) {
  std::vector<uint32_t> parent(graph.tensors.size());
  std::iota(parent.begin(), parent.end(), 0u);
  for (const Node& node : graph.nodes) {
    if (!MovesCodes(node.kind)) continue;
    for (const uint32_t tensor : node.inputs) Unite(parent, tensor, node.output);
  }
  std::vector<uint32_t> groups(parent.size());
  for (uint32_t t = 0; t < groups.size(); ++t) groups[t] = FindGroup(parent, t);
  return groups;
}

ActivationRange InputRange(const Preprocessing& preprocessing) {
  double lo = 0;
  double hi = 0;
  for (int c = 0; c < 3; ++c) {
    const double mean = preprocessing.mean[c];
    const double std = preprocessing.std[c];
    lo = std::min(lo, (0 - mean) / std);
    hi = std::max(hi, (255 - mean) / std);
  }
  ActivationRange range;
  range.scale = static_cast<float>((hi - lo) / 255);
  range.zero_point = static_cast<int32_t>(std::lround(-lo / range.scale));
  return range;
}

std::vector<ActivationDecision> DecideActivations(const Graph& graph,
                                                  const Preprocessing& preprocessing,
                                                  const Calibration& calibration, int bits,
                                                  RangeMethod method) {
  const std::vector<uint32_t> groups = SharingGroups(graph);
  std::vector<Histogram> merged(graph.tensors.size());
  for (uint32_t t = 0; t < groups.size(); ++t) {
    merged[groups[t]].Merge(calibration.histograms[t]);
  }
  std::vector<ActivationDecision> decisions(graph.tensors.size());
  for (uint32_t t = 0; t < groups.size(); ++t) {
    if (groups[t] != t) {
      decisions[t] = decisions[groups[t]];
      continue;
    }
    const bool is_input = t == groups[graph.input];
    const ActivationRange range =
        is_input ? InputRange(preprocessing) : ChooseRange(merged[t], bits, method);
    decisions[t] = {range.scale, range.zero_point, static_cast<uint8_t>(is_input ? 8 : bits)};
  }
  return decisions;
}

float LogitScale(const Calibration& calibration) {
  float largest = 0;
  for (const float logit : calibration.logits) largest = std::max(largest, std::abs(logit));
  return largest > 0 ? largest / kLogitSteps : 1.0f;
}

}  // namespace mpq
