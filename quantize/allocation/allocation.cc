#include "quantize/allocation/allocation.h"

#include <algorithm>
#include <utility>

#include "format/bit_operations.h"
#include "format/shape.h"
#include "mpq/model.h"
#include "quantize/allocation/knapsack.h"
#include "quantize/lower.h"
#include "quantize/quantize.h"

namespace mpq {

namespace {

// [layers][options]
std::vector<std::vector<uint64_t>> CodeBytes(const Graph& graph,
                                             std::span<const LayerSensitivity> table) {
  std::vector<std::vector<uint64_t>> bytes;
  for (const LayerSensitivity& entry : table) {
    const CodeLayout layout = MakeCodeLayout(graph, graph.nodes[entry.node]);
    std::vector<uint64_t>& sizes = bytes.emplace_back();
    for (const WidthOption& option : entry.options) {
      const LayerDecision& layer = option.layer;
      sizes.push_back(StreamBytes(layout, layer.block_bits) + layer.block_shapes.size() +
                      layer.tables.size());
    }
  }
  return bytes;
}

uint64_t MostBytes(std::span<const std::vector<uint64_t>> layers) {
  uint64_t most = 0;
  for (const std::vector<uint64_t>& sizes : layers) {
    most += *std::max_element(sizes.begin(), sizes.end());
  }
  return most;
}

}  // namespace

Result<uint64_t> FileBytes(const ModelData& float_model, const Decisions& decisions) {
  MPQ_ASSIGN_OR_RETURN(const LoweredModel lowered, LowerModel(float_model, decisions));
  MPQ_ASSIGN_OR_RETURN(const SizeReport size, MeasureSize(lowered.data));
  return size.file_bytes;
}

Allocator::Allocator(const ModelData& float_model, std::span<const LayerSensitivity> table)
    : float_model_(float_model),
      table_(table),
      code_bytes_(CodeBytes(float_model.graph, table)),
      most_code_bytes_(MostBytes(code_bytes_)),
      knapsack_(MakeKnapsack(0, {})) {}

Knapsack Allocator::MakeKnapsack(double price,
                                 std::span<const std::vector<double>> bit_operations) const {
  std::vector<std::vector<Choice>> items;
  for (size_t i = 0; i < table_.size(); ++i) {
    std::vector<Choice>& choices = items.emplace_back();
    for (size_t c = 0; c < table_[i].options.size(); ++c) {
      const double paid = price > 0 ? price * bit_operations[i][c] : 0;
      choices.push_back({code_bytes_[i][c], table_[i].Loss(table_[i].options[c]) + paid});
    }
  }
  return Knapsack(items, most_code_bytes_);
}

std::vector<std::vector<double>> Allocator::BitOperationsOf(const Decisions& decisions) const {
  const Graph& graph = float_model_.graph;
  std::vector<std::vector<double>> result;
  for (const LayerSensitivity& entry : table_) {
    const Node& node = graph.nodes[entry.node];
    const Weights& weights = graph.weights[node.weights];
    const Tensor& output = graph.tensors[node.output];
    const auto macs =
        static_cast<double>(NodeMacs(graph, node, {output.height, output.width, output.channels}));
    const uint64_t products = uint64_t{weights.kernel_h} * weights.kernel_w * weights.in_channels;
    std::vector<double>& costs = result.emplace_back();
    for (const WidthOption& option : entry.options) {
      costs.push_back(
          BitOperations(macs, products, option.bits, decisions.activations[node.inputs[0]].bits));
    }
  }
  return result;
}

Result<uint64_t> Allocator::CodeBudget(uint64_t file_bytes, Decisions& decisions) const {
  if (file_bytes == 0) return most_code_bytes_;
  // The rest of the file does not depend on widths, but for alignment: found by looking.
  const uint64_t least = knapsack_.least_cost();
  Take(*knapsack_.Choose(least), decisions);
  MPQ_ASSIGN_OR_RETURN(const uint64_t least_bytes, FileBytes(float_model_, decisions));
  if (least_bytes > file_bytes) {
    return Error(ErrorCode::kInvalidArgument, "target size: ", file_bytes,
                 " bytes, but the narrowest layers make a file of ", least_bytes);
  }
  uint64_t budget = file_bytes - (least_bytes - least);
  while (budget > least) {
    Take(*knapsack_.Choose(budget), decisions);
    MPQ_ASSIGN_OR_RETURN(const uint64_t bytes, FileBytes(float_model_, decisions));
    if (bytes <= file_bytes) break;
    budget -= std::min(bytes - file_bytes, budget - least);
  }
  return budget;
}

Result<double> Allocator::PriceOf(double most, uint64_t code_bytes,
                                  std::span<const std::vector<double>> bit_operations) const {
  const auto cost = [&](double price) {
    const std::vector<uint32_t> choices = *MakeKnapsack(price, bit_operations).Choose(code_bytes);
    double sum = 0;
    for (size_t i = 0; i < choices.size(); ++i) sum += bit_operations[i][choices[i]];
    return sum;
  };
  double least = 0;
  for (const std::vector<double>& costs : bit_operations) {
    least += *std::min_element(costs.begin(), costs.end());
  }
  if (least > most) {
    return Error(ErrorCode::kInvalidArgument, "bit operations: at most ", most,
                 ", but the narrowest layers take ", least);
  }
  if (cost(0) <= most) return 0.0;
  // Nats for a bit operation. The narrowest layers of all also are the smallest file, so a price
  // that is high enough always serves.
  double dear = 1e-15;
  while (cost(dear) > most && dear < 1e15) dear *= 10;
  double cheap = dear / 10;
  for (int step = 0; step < 24; ++step) {
    const double price = (cheap + dear) / 2;
    (cost(price) <= most ? dear : cheap) = price;
  }
  return dear;
}

Status Allocator::Fit(const Budget& budget, Decisions& decisions) const {
  decisions.layers.resize(float_model_.graph.nodes.size());
  MPQ_ASSIGN_OR_RETURN(const uint64_t code_bytes, CodeBudget(budget.file_bytes, decisions));
  if (budget.bit_operations == 0) {
    Take(*knapsack_.Choose(code_bytes), decisions);
    return Status();
  }
  const std::vector<std::vector<double>> bit_operations = BitOperationsOf(decisions);
  MPQ_ASSIGN_OR_RETURN(const double price,
                       PriceOf(budget.bit_operations, code_bytes, bit_operations));
  Take(*MakeKnapsack(price, bit_operations).Choose(code_bytes), decisions);
  return Status();
}

Result<std::vector<ParetoPoint>> Allocator::Curve(const CalibrationImages& images,
                                                  std::span<const float> float_logits,
                                                  uint32_t points, uint32_t threads,
                                                  const Progress& progress,
                                                  Decisions decisions) const {
  std::vector<ParetoPoint> curve;
  decisions.layers.resize(float_model_.graph.nodes.size());
  const uint64_t least = knapsack_.least_cost();
  ProgressStage stage(progress, "measure the curve", points);
  for (uint32_t i = 0; i < points; ++i) {
    const uint64_t beyond = (most_code_bytes_ - least) * i / std::max(points - 1, 1u);
    ParetoPoint& point = curve.emplace_back();
    const std::vector<uint32_t> choices = *knapsack_.Choose(least + beyond);
    Take(choices, decisions);
    for (const uint32_t choice : choices) {
      const LayerSensitivity& entry = table_[point.bits.size()];
      point.bits.push_back(entry.options[choice].bits);
      point.predicted_kl += entry.Loss(entry.options[choice]);
    }
    MPQ_ASSIGN_OR_RETURN(LoweredModel lowered, LowerModel(float_model_, decisions));
    MPQ_ASSIGN_OR_RETURN(const SizeReport size, MeasureSize(lowered.data));
    point.file_bytes = size.file_bytes;
    MPQ_ASSIGN_OR_RETURN(const Model model, Model::FromData(std::move(lowered.data)));
    MPQ_ASSIGN_OR_RETURN(const std::vector<float> logits,
                         ModelLogits(model, images, threads, Progress()));
    point.agreement = CompareLogits(float_logits, logits, images.count);
    stage.Step();
  }
  return curve;
}

void Allocator::Take(std::span<const uint32_t> choices, Decisions& decisions) const {
  for (size_t i = 0; i < table_.size(); ++i) {
    decisions.layers[table_[i].node] = table_[i].options[choices[i]].layer;
  }
}

}  // namespace mpq
