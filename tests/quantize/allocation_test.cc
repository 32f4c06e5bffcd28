// Bits under a budget.
#include "quantize/allocation/allocation.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <limits>
#include <random>

#include "format/bit_operations.h"
#include "format/shape.h"
#include "format/writer.h"
#include "quantize/activations.h"
#include "quantize/allocation/activation_sensitivity.h"
#include "quantize/allocation/knapsack.h"
#include "quantize/passes/graph_view.h"
#include "quantize/quantize.h"
#include "tests/quantize/graph_builder.h"

namespace mpq {
namespace {

using Items = std::vector<std::vector<Choice>>;

Choice Total(const Items& items, const std::vector<uint32_t>& choices) {
  Choice total;
  for (size_t i = 0; i < items.size(); ++i) {
    total.cost += items[i][choices[i]].cost;
    total.loss += items[i][choices[i]].loss;
  }
  return total;
}

// The least loss of all selections within the budget.
double BruteForce(const Items& items, size_t item, uint64_t budget) {
  if (item == items.size()) return 0;
  double least = std::numeric_limits<double>::infinity();
  for (const Choice& choice : items[item]) {
    if (choice.cost > budget) continue;
    least = std::min(least, choice.loss + BruteForce(items, item + 1, budget - choice.cost));
  }
  return least;
}

Items RandomItems(std::mt19937& random, uint64_t largest_cost) {
  Items items(1 + random() % 6);
  for (std::vector<Choice>& choices : items) {
    choices.resize(1 + random() % 5);
    for (Choice& choice : choices) {
      choice = {random() % largest_cost, static_cast<double>(random() % 1000)};
    }
  }
  return items;
}

TEST_CASE("the knapsack finds what brute force finds") {
  std::mt19937 random(5);
  for (int round = 0; round < 60; ++round) {
    const Items items = RandomItems(random, 50);
    const uint64_t largest = random() % 200;
    const Knapsack knapsack(items, largest);
    for (uint64_t budget = 0; budget <= largest; budget += 9) {
      const auto choices = knapsack.Choose(budget);
      const double least = BruteForce(items, 0, budget);
      REQUIRE(choices.has_value() == (budget >= knapsack.least_cost()));
      REQUIRE(choices.has_value() == (least < std::numeric_limits<double>::infinity()));
      if (!choices) continue;
      CHECK(Total(items, *choices).cost <= budget);
      CHECK(Total(items, *choices).loss == least);
    }
  }
}

TEST_CASE("large costs are counted in steps, never over the budget, and nearly as good") {
  std::mt19937 random(6);
  for (int round = 0; round < 50; ++round) {
    const Items items = RandomItems(random, 100'000'000);
    const uint64_t budget = 20'000'000 * items.size() + random() % 100'000'000;
    const Knapsack knapsack(items, budget);
    const auto choices = knapsack.Choose(budget);
    if (!choices) continue;
    CHECK(Total(items, *choices).cost <= budget);
    const uint64_t smaller = budget - budget * items.size() / Knapsack::kBudgetSteps;
    if (smaller < knapsack.least_cost()) continue;
    CHECK(Total(items, *choices).loss <= BruteForce(items, 0, smaller));
  }
}

ModelData UnevenModel() {
  GraphBuilder b(16, 16, 3, 21);
  uint32_t t = b.Relu(b.Conv(b.input(), 20, SquareWindow(3, 2, 1)));
  t = b.Relu(b.Conv(t, 96));
  t = b.Relu(b.Conv(t, 40));
  ModelData model;
  model.graph = b.Finish(b.Dense(b.GlobalAvgPool(t), 10));
  Weights& last = model.graph.weights.back();
  std::vector<float> values(last.values.begin(), last.values.end());
  for (float& value : values) value *= 30;  // logits that differ
  last.values = std::move(values);
  model.preprocessing.crop_height = model.preprocessing.crop_width = 16;
  model.preprocessing.mean = {127, 127, 127};
  model.preprocessing.std = {64, 64, 64};
  return model;
}

TEST_CASE("a target size is kept and used, and more bytes are no worse") {
  const CalibrationImages images = RandomImages(40, 16, 16, 6);
  for (const char* method : {"uniform", "two-region", "learned"}) {
    CAPTURE(method);
    QuantizeOptions options;
    options.method = method;
    options.rounding = Rounding::kGptq;
    const auto bytes_at = [&](int bits) {
      QuantizeOptions same = options;
      same.bit_widths.weights = bits;
      return Quantize(UnevenModel(), images, same, Progress()).value().size.file_bytes;
    };
    const uint64_t narrow = bytes_at(2);
    const uint64_t wide = bytes_at(8);
    double worst = std::numeric_limits<double>::infinity();
    for (const double share : {0.2, 0.6}) {
      options.target_bytes =
          narrow + static_cast<uint64_t>(share * static_cast<double>(wide - narrow));
      const auto quantized = Quantize(UnevenModel(), images, options, Progress());
      REQUIRE_MESSAGE(quantized.ok(), quantized.status().message());
      CHECK(quantized->size.file_bytes <= options.target_bytes);
      CHECK(quantized->size.file_bytes + 600 >= options.target_bytes);
      CHECK(quantized->agreement.mean_kl < worst);
      worst = quantized->agreement.mean_kl;
    }
  }
}

TEST_CASE("allocated bits are better than the same bytes spread evenly") {
  const CalibrationImages images = RandomImages(40, 16, 16, 6);
  QuantizeOptions even;
  even.rounding = Rounding::kGptq;
  even.bit_widths.weights = 3;
  const auto spread = Quantize(UnevenModel(), images, even, Progress());
  REQUIRE(spread.ok());
  QuantizeOptions options;
  options.rounding = Rounding::kGptq;
  options.target_bytes = spread->size.file_bytes + 64;  // provenance differs
  const auto allocated = Quantize(UnevenModel(), images, options, Progress());
  REQUIRE(allocated.ok());
  CHECK(allocated->agreement.mean_kl < spread->agreement.mean_kl);
}

double BitOperationsOf(const Graph& graph) {
  double sum = 0;
  for (const Node& node : graph.nodes) {
    if (!IsConvolution(node)) continue;
    const Weights& weights = graph.weights[node.weights];
    const Tensor& output = graph.tensors[node.output];
    const uint64_t macs = NodeMacs(graph, node, {output.height, output.width, output.channels});
    const uint64_t products = uint64_t{weights.kernel_h} * weights.kernel_w * weights.in_channels;
    sum += BitOperations(static_cast<double>(macs), products, weights.block_bits[0],
                         graph.tensors[node.inputs[0]].bits);
  }
  return sum;
}

TEST_CASE("a limit on bit operations is kept, alone and beside a size") {
  const CalibrationImages images = RandomImages(40, 16, 16, 6);
  QuantizeOptions options;
  options.rounding = Rounding::kGptq;
  const auto at = [&](int bits) {
    QuantizeOptions same = options;
    same.bit_widths.weights = bits;
    return Quantize(UnevenModel(), images, same, Progress()).value();
  };
  const Quantized narrow = at(2);
  const Quantized wide = at(8);
  const double least = BitOperationsOf(narrow.model.graph);
  const double most = BitOperationsOf(wide.model.graph);
  double worst = std::numeric_limits<double>::infinity();
  for (const double share : {0.2, 0.6}) {
    options.max_bit_operations = least + share * (most - least);
    const auto quantized = Quantize(UnevenModel(), images, options, Progress());
    REQUIRE_MESSAGE(quantized.ok(), quantized.status().message());
    const double taken = BitOperationsOf(quantized->model.graph);
    CHECK(taken <= options.max_bit_operations);
    CHECK(taken > least);
    CHECK(quantized->agreement.mean_kl < worst);
    worst = quantized->agreement.mean_kl;
  }
  options.target_bytes = (narrow.size.file_bytes + wide.size.file_bytes) / 2;
  const auto both = Quantize(UnevenModel(), images, options, Progress());
  REQUIRE_MESSAGE(both.ok(), both.status().message());
  CHECK(both->size.file_bytes <= options.target_bytes);
  CHECK(BitOperationsOf(both->model.graph) <= options.max_bit_operations);

  options.max_bit_operations = 10;
  const Status refused = Quantize(UnevenModel(), images, options, Progress()).status();
  CHECK(refused.message().find("bit operations: at most 10, but the narrowest layers take") !=
        std::string::npos);
  options.method = "ptilmpq";
  CHECK(Quantize(UnevenModel(), images, options, Progress()).status().code() ==
        ErrorCode::kUnsupported);
}

// Of what the convolutions read, in order.
std::vector<int> ActivationBits(const Graph& graph) {
  std::vector<int> bits;
  for (const Node& node : graph.nodes) {
    if (IsConvolution(node)) bits.push_back(graph.tensors[node.inputs[0]].bits);
  }
  return bits;
}

TEST_CASE("under a limit on bit operations activations are narrowed together with weights") {
  const CalibrationImages images = RandomImages(40, 16, 16, 6);
  QuantizeOptions options;
  options.rounding = Rounding::kGptq;
  options.bit_widths.weights = 2;
  const auto narrow = Quantize(UnevenModel(), images, options, Progress());
  REQUIRE(narrow.ok());
  const double least = BitOperationsOf(narrow->model.graph);  // activations of 8 bits
  options.max_bit_operations = 0.9 * least;
  CHECK(!Quantize(UnevenModel(), images, options, Progress()).ok());
  options.least_activation_bits = 4;
  for (const uint64_t target : {uint64_t{0}, narrow->size.file_bytes + 2000}) {
    options.target_bytes = target;
    const auto quantized = Quantize(UnevenModel(), images, options, Progress());
    REQUIRE_MESSAGE(quantized.ok(), quantized.status().message());
    CHECK(BitOperationsOf(quantized->model.graph) <= options.max_bit_operations);
    const std::vector<int> bits = ActivationBits(quantized->model.graph);
    CHECK(bits[0] == 8);  // the input's
    CHECK(*std::min_element(bits.begin(), bits.end()) >= 4);
    CHECK(*std::min_element(bits.begin(), bits.end()) < 8);
    if (target > 0) CHECK(quantized->size.file_bytes <= target);
  }

  options.least_activation_bits = 9;
  CHECK(Quantize(UnevenModel(), images, options, Progress()).status().message() ==
        "activations: at least 9 bits, expected 2..8");
  options.least_activation_bits = 4;
  options.max_bit_operations = 0;
  CHECK(Quantize(UnevenModel(), images, options, Progress()).status().message() ==
        "activations of different bits need a limit on bit operations");
}

TEST_CASE("activations are measured by what the integer engine's output loses") {
  const CalibrationImages images = RandomImages(40, 16, 16, 6);
  ModelData model = UnevenModel();
  PrepareIntegerModel(model);
  const auto calibration =
      Calibrate(model.graph, model.preprocessing, images, Equalization(), 1, Progress());
  REQUIRE(calibration.ok());
  Decisions decisions;
  const auto decide = [&](int bits) {
    return DecideActivations(model.graph, model.preprocessing, *calibration, bits,
                             RangeMethod::kSquaredError);
  };
  decisions.activations = decide(8);
  decisions.logit_scale = LogitScale(*calibration);
  BitWidths widths;
  auto layers =
      (*MakeMethod("uniform"))
          ->Decide(
              {model.graph, decisions.equalization, &*calibration, {}, widths, 1, 1, Progress()});
  REQUIRE(layers.ok());
  std::vector<LayerSensitivity> table;
  for (uint32_t n = 0; n < model.graph.nodes.size(); ++n) {
    if (!IsConvolution(model.graph.nodes[n])) continue;
    table.push_back({n, 0, {{8, (*layers)[n], 0, {}}}});
  }
  const auto measured =
      MeasureActivationSensitivity(model, images, table, decide, 3, 2, Progress(), decisions);
  REQUIRE_MESSAGE(measured.ok(), measured.status().message());
  REQUIRE(!measured->empty());
  for (const ActivationSensitivity& entry : *measured) {
    REQUIRE(entry.options.size() == 6);  // 3 to 8 bits
    CHECK(entry.options.front().decision.bits == 3);
    CHECK(entry.options.back().decision.bits == 8);
    CHECK(entry.options.back().loss == 0);
    CHECK(entry.options.front().loss > entry.options[3].loss);
    for (const uint32_t tensor : entry.tensors) CHECK(tensor != model.graph.input);
  }
}

TEST_CASE("widths that the user named stay; sizes that cannot be reached are refused") {
  const CalibrationImages images = RandomImages(20, 16, 16, 6);
  QuantizeOptions options;
  options.bit_widths.first = 7;
  options.target_bytes = 9000;
  const auto quantized = Quantize(UnevenModel(), images, options, Progress());
  REQUIRE_MESSAGE(quantized.ok(), quantized.status().message());
  const Graph& graph = quantized->model.graph;
  CHECK(graph.weights[graph.nodes[0].weights].block_bits[0] == 7);
  options.target_bytes = 500;
  const Status refused = Quantize(UnevenModel(), images, options, Progress()).status();
  CHECK(refused.message().find("500 bytes, but the narrowest layers make a file of") !=
        std::string::npos);
}

}  // namespace
}  // namespace mpq
