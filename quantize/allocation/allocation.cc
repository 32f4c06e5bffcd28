#include "quantize/allocation/allocation.h"

#include <algorithm>
#include <utility>

#include "mpq/model.h"
#include "quantize/allocation/knapsack.h"
#include "quantize/lower.h"
#include "quantize/quantize.h"

namespace mpq {

namespace {

uint64_t CodeBytes(const Graph& graph, uint32_t node, const LayerDecision& layer) {
  const CodeLayout layout = MakeCodeLayout(graph, graph.nodes[node]);
  return StreamBytes(layout, layer.block_bits) + layer.block_shapes.size() + layer.tables.size();
}

}  // namespace

Result<uint64_t> FileBytes(const ModelData& float_model, const Decisions& decisions) {
  MPQ_ASSIGN_OR_RETURN(const LoweredModel lowered, LowerModel(float_model, decisions));
  MPQ_ASSIGN_OR_RETURN(const SizeReport size, MeasureSize(lowered.data));
  return size.file_bytes;
}

Allocator::Allocator(const ModelData& float_model, std::span<const LayerSensitivity> table)
    : float_model_(float_model), table_(table) {
  uint64_t most = 0;
  std::vector<std::vector<Choice>> items;
  for (const LayerSensitivity& entry : table) {
    std::vector<Choice>& choices = items.emplace_back();
    uint64_t largest = 0;
    for (const WidthOption& option : entry.options) {
      choices.push_back(
          {CodeBytes(float_model.graph, entry.node, option.layer), entry.Loss(option)});
      largest = std::max(largest, choices.back().cost);
    }
    most += largest;
  }
  knapsack_.emplace(items, most);
  most_code_bytes_ = most;
}

Status Allocator::ToSize(uint64_t target_bytes, Decisions& decisions) const {
  // The rest of the file does not depend on widths, but for alignment: found by looking.
  decisions.layers.resize(float_model_.graph.nodes.size());
  const uint64_t least = knapsack_->least_cost();
  Take(least, decisions);
  MPQ_ASSIGN_OR_RETURN(const uint64_t least_bytes, FileBytes(float_model_, decisions));
  if (least_bytes > target_bytes) {
    return Error(ErrorCode::kInvalidArgument, "target size: ", target_bytes,
                 " bytes, but the narrowest layers make a file of ", least_bytes);
  }
  uint64_t budget = target_bytes - (least_bytes - least);
  while (budget > least) {
    Take(budget, decisions);
    MPQ_ASSIGN_OR_RETURN(const uint64_t bytes, FileBytes(float_model_, decisions));
    if (bytes <= target_bytes) return Status();
    budget -= std::min(bytes - target_bytes, budget - least);
  }
  Take(least, decisions);
  return Status();
}

Result<std::vector<ParetoPoint>> Allocator::Curve(const CalibrationImages& images,
                                                  std::span<const float> float_logits,
                                                  uint32_t points, uint32_t threads,
                                                  const Progress& progress,
                                                  Decisions decisions) const {
  std::vector<ParetoPoint> curve;
  decisions.layers.resize(float_model_.graph.nodes.size());
  const uint64_t least = knapsack_->least_cost();
  ProgressStage stage(progress, "measure the curve", points);
  for (uint32_t i = 0; i < points; ++i) {
    const uint64_t beyond = (most_code_bytes_ - least) * i / std::max(points - 1, 1u);
    ParetoPoint& point = curve.emplace_back();
    for (const uint32_t choice : Take(least + beyond, decisions)) {
      const LayerSensitivity& entry = table_[point.bits.size()];
      point.bits.push_back(entry.options[choice].bits);
      point.predicted_kl += entry.Loss(entry.options[choice]);
    }
    MPQ_ASSIGN_OR_RETURN(LoweredModel lowered, LowerModel(float_model_, decisions));
    MPQ_ASSIGN_OR_RETURN(const SizeReport size, MeasureSize(lowered.data));
    point.file_bytes = size.file_bytes;
    MPQ_ASSIGN_OR_RETURN(const Model model, Model::FromData(std::move(lowered.data)));
    MPQ_ASSIGN_OR_RETURN(const std::vector<float> logits,
                         IntegerLogits(model, images, threads, Progress()));
    point.agreement = CompareLogits(float_logits, logits, images.count);
    stage.Step();
  }
  return curve;
}

std::vector<uint32_t> Allocator::Take(uint64_t code_bytes, Decisions& decisions) const {
  std::vector<uint32_t> choices = knapsack_->Choose(code_bytes).value();
  for (size_t i = 0; i < table_.size(); ++i) {
    decisions.layers[table_[i].node] = table_[i].options[choices[i]].layer;
  }
  return choices;
}

}  // namespace mpq
