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

Allocator::Allocator(const ModelData& float_model, std::span<const LayerSensitivity> table,
                     std::span<const ActivationSensitivity> activations)
    : float_model_(float_model),
      table_(table),
      activations_(activations),
      code_bytes_(CodeBytes(float_model.graph, table)),
      most_code_bytes_(MostBytes(code_bytes_)),
      knapsack_(MakeKnapsack(0, {}, {})) {}

std::vector<Allocator::LayerWork> Allocator::MeasureWork(const Decisions& decisions) const {
  const Graph& graph = float_model_.graph;
  std::vector<LayerWork> result;
  for (const LayerSensitivity& entry : table_) {
    const Node& node = graph.nodes[entry.node];
    const Weights& weights = graph.weights[node.weights];
    const Tensor& output = graph.tensors[node.output];
    LayerWork& work = result.emplace_back();
    work.macs =
        static_cast<double>(NodeMacs(graph, node, {output.height, output.width, output.channels}));
    work.products = uint64_t{weights.kernel_h} * weights.kernel_w * weights.in_channels;
    work.activation_bits = decisions.activations[node.inputs[0]].bits;
    for (uint32_t i = 0; i < activations_.size(); ++i) {
      const std::vector<uint32_t>& tensors = activations_[i].tensors;
      if (std::find(tensors.begin(), tensors.end(), node.inputs[0]) != tensors.end()) {
        work.activation = i;
      }
    }
  }
  return result;
}

int Allocator::ActivationBits(const LayerWork& work, std::span<const uint32_t> activations) const {
  if (work.activation == kNone) return work.activation_bits;
  return activations_[work.activation].options[activations[work.activation]].decision.bits;
}

double Allocator::BitOperationsOf(const LayerWork& work, int bits,
                                  std::span<const uint32_t> activations) const {
  return BitOperations(work.macs, work.products, bits, ActivationBits(work, activations));
}

double Allocator::TotalBitOperations(std::span<const LayerWork> work,
                                     const Choices& choices) const {
  double sum = 0;
  for (size_t i = 0; i < work.size(); ++i) {
    const int bits = table_[i].options[choices.layers[i]].bits;
    sum += BitOperationsOf(work[i], bits, choices.activations);
  }
  return sum;
}

Knapsack Allocator::MakeKnapsack(double price, std::span<const LayerWork> work,
                                 std::span<const uint32_t> activations) const {
  std::vector<std::vector<Choice>> items;
  for (size_t i = 0; i < table_.size(); ++i) {
    std::vector<Choice>& choices = items.emplace_back();
    for (size_t c = 0; c < table_[i].options.size(); ++c) {
      const WidthOption& option = table_[i].options[c];
      const double paid =
          price > 0 ? price * BitOperationsOf(work[i], option.bits, activations) : 0;
      choices.push_back({code_bytes_[i][c], table_[i].Loss(option) + paid});
    }
  }
  return Knapsack(items, most_code_bytes_);
}

std::vector<uint32_t> Allocator::ChooseActivations(double price, std::span<const LayerWork> work,
                                                   std::span<const uint32_t> layers) const {
  std::vector<uint32_t> choices;
  for (uint32_t a = 0; a < activations_.size(); ++a) {
    const std::vector<ActivationOption>& options = activations_[a].options;
    const auto cost = [&](const ActivationOption& option) {
      double sum = option.loss;
      for (size_t i = 0; i < work.size(); ++i) {
        if (work[i].activation != a) continue;
        sum += price * BitOperations(work[i].macs, work[i].products,
                                     table_[i].options[layers[i]].bits, option.decision.bits);
      }
      return sum;
    };
    // Of equal ones the widest.
    uint32_t best = static_cast<uint32_t>(options.size()) - 1;
    for (uint32_t o = best; o-- > 0;) {
      if (cost(options[o]) < cost(options[best])) best = o;
    }
    choices.push_back(best);
  }
  return choices;
}

Allocator::Choices Allocator::Choose(double price, uint64_t code_bytes,
                                     std::span<const LayerWork> work) const {
  constexpr int kTurns = 4;  // seldom more than two change anything
  Choices choices;
  for (const ActivationSensitivity& entry : activations_) {
    choices.activations.push_back(static_cast<uint32_t>(entry.options.size()) - 1);
  }
  for (int turn = 0; turn < kTurns; ++turn) {
    choices.layers = *MakeKnapsack(price, work, choices.activations).Choose(code_bytes);
    std::vector<uint32_t> activations = ChooseActivations(price, work, choices.layers);
    if (activations == choices.activations) break;
    choices.activations = std::move(activations);
  }
  return choices;
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

Result<Allocator::Choices> Allocator::ChooseWithin(double most, uint64_t code_bytes,
                                                   std::span<const LayerWork> work) const {
  double least = 0;
  const std::vector<uint32_t> narrowest(activations_.size(), 0);
  for (size_t i = 0; i < table_.size(); ++i) {
    least += BitOperationsOf(work[i], table_[i].options.front().bits, narrowest);
  }
  if (least > most) {
    return Error(ErrorCode::kInvalidArgument, "bit operations: at most ", most,
                 ", but the narrowest layers take ", least);
  }
  Choices best = Choose(0, code_bytes, work);
  if (TotalBitOperations(work, best) <= most) return best;
  // Nats for a bit operation. The narrowest layers of all also are the smallest file, so a price
  // that is high enough always serves.
  const auto fits = [&](double price) {
    Choices choices = Choose(price, code_bytes, work);
    if (TotalBitOperations(work, choices) > most) return false;
    best = std::move(choices);
    return true;
  };
  double dear = 1e-15;
  while (!fits(dear) && dear < 1e15) dear *= 10;
  double cheap = dear / 10;
  for (int step = 0; step < 24; ++step) {
    const double price = (cheap + dear) / 2;
    (fits(price) ? dear : cheap) = price;
  }
  return best;
}

Status Allocator::Fit(const Budget& budget, Decisions& decisions) const {
  decisions.layers.resize(float_model_.graph.nodes.size());
  MPQ_ASSIGN_OR_RETURN(uint64_t code_bytes, CodeBudget(budget.file_bytes, decisions));
  if (budget.bit_operations == 0) {
    Take(*knapsack_.Choose(code_bytes), decisions);
    return Status();
  }
  const std::vector<LayerWork> work = MeasureWork(decisions);
  while (true) {
    MPQ_ASSIGN_OR_RETURN(const Choices choices,
                         ChooseWithin(budget.bit_operations, code_bytes, work));
    Take(choices.layers, decisions);
    TakeActivations(choices.activations, decisions);
    if (budget.file_bytes == 0) return Status();
    // Other activations may leave other additions as operators of their own: some bytes.
    MPQ_ASSIGN_OR_RETURN(const uint64_t bytes, FileBytes(float_model_, decisions));
    if (bytes <= budget.file_bytes) return Status();
    const uint64_t excess = bytes - budget.file_bytes;
    if (code_bytes < knapsack_.least_cost() + excess) {
      return Error(ErrorCode::kInvalidArgument, "target size: ", budget.file_bytes,
                   " bytes, but the narrowest layers make a file of ", bytes);
    }
    code_bytes -= excess;
  }
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

void Allocator::TakeActivations(std::span<const uint32_t> choices, Decisions& decisions) const {
  for (size_t i = 0; i < activations_.size(); ++i) {
    for (const uint32_t tensor : activations_[i].tensors) {
      decisions.activations[tensor] = activations_[i].options[choices[i]].decision;
    }
  }
}

void Allocator::Take(std::span<const uint32_t> choices, Decisions& decisions) const {
  for (size_t i = 0; i < table_.size(); ++i) {
    decisions.layers[table_[i].node] = table_[i].options[choices[i]].layer;
  }
}

}  // namespace mpq
