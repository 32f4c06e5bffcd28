#include "quantize/allocation/allocation.h"

#include <algorithm>
#include <utility>

#include "quantize/allocation/knapsack.h"
#include "quantize/lower.h"
#include "quantize/quantize.h"

namespace mpq {

namespace {

uint64_t CodeBytes(const Graph& graph, uint32_t node, const LayerDecision& layer) {
  const CodeLayout layout = MakeCodeLayout(graph, graph.nodes[node]);
  return StreamBytes(layout, layer.block_bits) + layer.block_shapes.size() + layer.tables.size();
}

Result<uint64_t> FileBytes(const ModelData& float_model, const Decisions& decisions) {
  MPQ_ASSIGN_OR_RETURN(const LoweredModel lowered, LowerModel(float_model, decisions));
  MPQ_ASSIGN_OR_RETURN(const SizeReport size, MeasureSize(lowered.data));
  return size.file_bytes;
}

}  // namespace

Status AllocateToSize(const ModelData& float_model, std::vector<LayerSensitivity> table,
                      uint64_t target_bytes, Decisions& decisions) {
  std::vector<std::vector<Choice>> items;
  for (const LayerSensitivity& entry : table) {
    std::vector<Choice>& choices = items.emplace_back();
    for (const WidthOption& option : entry.options) {
      choices.push_back(
          {CodeBytes(float_model.graph, entry.node, option.layer), entry.Loss(option)});
    }
  }
  const Knapsack knapsack(items, target_bytes);
  const auto take = [&](const std::vector<uint32_t>& choices) {
    for (size_t i = 0; i < table.size(); ++i) {
      decisions.layers[table[i].node] = table[i].options[choices[i]].layer;
    }
  };
  // The rest of the file does not depend on widths, but for alignment: found by looking.
  decisions.layers.resize(float_model.graph.nodes.size());
  take(knapsack.Choose(knapsack.least_cost()).value());
  MPQ_ASSIGN_OR_RETURN(const uint64_t least_bytes, FileBytes(float_model, decisions));
  if (least_bytes > target_bytes) {
    return Error(ErrorCode::kInvalidArgument, "target size: ", target_bytes,
                 " bytes, but the narrowest layers make a file of ", least_bytes);
  }
  uint64_t budget = target_bytes - (least_bytes - knapsack.least_cost());
  while (budget > knapsack.least_cost()) {
    take(knapsack.Choose(budget).value());
    MPQ_ASSIGN_OR_RETURN(const uint64_t bytes, FileBytes(float_model, decisions));
    if (bytes <= target_bytes) return Status();
    budget -= std::min(bytes - target_bytes, budget - knapsack.least_cost());
  }
  take(knapsack.Choose(knapsack.least_cost()).value());
  return Status();
}

}  // namespace mpq
