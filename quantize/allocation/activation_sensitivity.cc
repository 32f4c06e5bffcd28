#include "quantize/allocation/activation_sensitivity.h"

#include <algorithm>
#include <map>
#include <utility>

#include "quantize/activations.h"
#include "quantize/allocation/probe.h"
#include "quantize/passes/graph_view.h"

namespace mpq {

namespace {

// The tensors of every group that a convolution reads.
std::vector<std::vector<uint32_t>> GroupsRead(const Graph& graph) {
  const std::vector<uint32_t> groups = SharingGroups(graph);
  std::map<uint32_t, std::vector<uint32_t>> read;
  for (const Node& node : graph.nodes) {
    if (IsConvolution(node)) read[groups[node.inputs[0]]];
  }
  read.erase(groups[graph.input]);
  for (uint32_t t = 0; t < groups.size(); ++t) {
    if (const auto group = read.find(groups[t]); group != read.end()) group->second.push_back(t);
  }
  std::vector<std::vector<uint32_t>> result;
  result.reserve(read.size());
  for (auto& [group, tensors] : read) result.push_back(std::move(tensors));
  return result;
}

}  // namespace

Result<std::vector<ActivationSensitivity>> MeasureActivationSensitivity(
    const ModelData& float_model, const CalibrationImages& probes,
    std::span<const LayerSensitivity> table, const DecideAtWidth& decide, int least_bits,
    uint32_t threads, const Progress& progress, const Decisions& decisions) {
  std::vector<ActivationSensitivity> result;
  for (std::vector<uint32_t>& tensors : GroupsRead(float_model.graph)) {
    result.push_back({std::move(tensors), {}});
  }
  Probe probe(float_model, probes, threads, WithWideLayers(table, decisions));
  MPQ_RETURN_IF_ERROR(probe.Start());
  int most_bits = least_bits;
  for (const ActivationSensitivity& entry : result) {
    most_bits = std::max<int>(most_bits, decisions.activations[entry.tensors[0]].bits);
  }
  ProgressStage stage(progress, "probe activations",
                      static_cast<uint64_t>(most_bits - least_bits) * result.size());
  for (int bits = least_bits; bits < most_bits; ++bits) {
    const std::vector<ActivationDecision> narrow = decide(bits);
    for (ActivationSensitivity& entry : result) {
      std::vector<ActivationDecision> activations = decisions.activations;
      for (const uint32_t t : entry.tensors) activations[t] = narrow[t];
      MPQ_ASSIGN_OR_RETURN(const double loss, probe.Divergence(activations));
      entry.options.push_back({narrow[entry.tensors[0]], loss});
      stage.Step();
    }
  }
  for (ActivationSensitivity& entry : result) {
    entry.options.push_back({decisions.activations[entry.tensors[0]], 0});
  }
  return result;
}

}  // namespace mpq
