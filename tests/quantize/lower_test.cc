// Lowered operators, run by the engine, stay within quantisation error of the float graph.
#include "quantize/lower.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>

#include "mpq/model.h"
#include "mpq/session.h"
#include "quantize/activations.h"
#include "quantize/calibration.h"
#include "quantize/method.h"
#include "quantize/passes/end_with_conv.h"
#include "quantize/passes/prune.h"
#include "quantize/passes/simplify.h"
#include "quantize/passes/split_concat.h"
#include "tests/quantize/graph_builder.h"

namespace mpq {
namespace {

Preprocessing TestPreprocessing(uint32_t height, uint32_t width) {
  Preprocessing preprocessing;
  preprocessing.crop_height = height;
  preprocessing.crop_width = width;
  preprocessing.mean = {120, 127.5, 110};
  preprocessing.std = {60, 64, 58};
  return preprocessing;
}

// A float graph, what calibration saw of it, and its integer form.
struct Lowered {
  ModelData float_model;
  CalibrationImages images;
  Decisions decisions;
  std::vector<uint32_t> tensors;  // see LoweredModel
  Model model;
};

Lowered LowerForTest(Graph graph, int activation_bits, int weight_bits, bool equalize) {
  Simplify(graph);
  SplitConcat(graph);
  EndWithConv(graph);
  Prune(graph);
  ModelData float_model;
  const Tensor& input = graph.tensors[graph.input];
  float_model.preprocessing = TestPreprocessing(input.height, input.width);
  const CalibrationImages images = RandomImages(6, input.height, input.width, 11);
  float_model.graph = std::move(graph);

  Decisions decisions;
  auto calibration = Calibrate(float_model.graph, float_model.preprocessing, images,
                               decisions.equalization, 1, Progress());
  REQUIRE_MESSAGE(calibration.ok(), calibration.status().message());
  if (equalize) {
    decisions.equalization = Equalize(float_model.graph, calibration->channel_magnitudes);
    CHECK(decisions.equalization.count() > 0);
    calibration = Calibrate(float_model.graph, float_model.preprocessing, images,
                            decisions.equalization, 1, Progress());
    REQUIRE(calibration.ok());
  }
  decisions.activations = DecideActivations(float_model.graph, float_model.preprocessing,
                                            *calibration, activation_bits, RangeMethod::kMinMax);
  decisions.logit_scale = LogitScale(*calibration);
  const BitWidths widths{weight_bits, 0, 0, {}};
  const auto method = MakeMethod("uniform");
  REQUIRE(method.ok());
  auto layers = (*method)->Decide(
      {float_model.graph, decisions.equalization, &*calibration, {}, widths, 1, 1, Progress()});
  REQUIRE_MESSAGE(layers.ok(), layers.status().message());
  decisions.layers = *std::move(layers);
  auto lowered = LowerModel(float_model, decisions);
  REQUIRE_MESSAGE(lowered.ok(), lowered.status().message());
  auto model = Model::FromData(std::move(lowered->data));
  REQUIRE_MESSAGE(model.ok(), model.status().message());
  return {std::move(float_model), images, std::move(decisions), std::move(lowered->tensors),
          *std::move(model)};
}

// Largest and root mean square difference of a tensor between the two forms, in real numbers.
struct Difference {
  double largest = 0, rms = 0, reference_rms = 0;
};

Difference CompareTensor(const Lowered& lowered, uint32_t tensor) {
  FloatExecutorOptions float_options;
  float_options.keep_tensors = true;
  const auto executor = MakeRefFloatExecutor(lowered.float_model.graph, float_options);
  REQUIRE(executor.ok());
  SessionOptions options;
  options.keep_tensors = true;
  auto session = Session::Create(lowered.model, options);
  REQUIRE_MESSAGE(session.ok(), session.status().message());
  const uint32_t channels = lowered.float_model.graph.tensors[tensor].channels;
  Difference difference;
  double count = 0;
  for (uint32_t i = 0; i < lowered.images.count; ++i) {
    std::vector<float> src(lowered.images.image_bytes());
    NormalizePixels(lowered.float_model.preprocessing, lowered.images.image(i), src);
    REQUIRE((*executor)->Run(src).ok());
    REQUIRE(session->Run(lowered.images.image(i)).ok());
    const auto expected = (*executor)->Read(tensor);
    const auto actual = session->ReadTensor(lowered.tensors[tensor]);
    REQUIRE(expected.ok());
    REQUIRE_MESSAGE(actual.ok(), actual.status().message());
    REQUIRE(expected->size() == actual->size());
    for (size_t k = 0; k < actual->size(); ++k) {
      const float scale =
          lowered.decisions.equalization.scale(tensor, static_cast<uint32_t>(k % channels));
      const double d = (*expected)[k] - double{(*actual)[k]} * scale;
      difference.largest = std::max(difference.largest, std::abs(d));
      difference.rms += d * d;
      difference.reference_rms += double{(*expected)[k]} * (*expected)[k];
      ++count;
    }
  }
  difference.rms = std::sqrt(difference.rms / count);
  difference.reference_rms = std::sqrt(difference.reference_rms / count);
  return difference;
}

// With 8-bit weights and activations every stored tensor keeps a signal-to-noise ratio of `min_db`.
void CheckAllTensors(const Lowered& lowered, double min_db) {
  for (uint32_t t = 0; t < lowered.float_model.graph.tensors.size(); ++t) {
    if (lowered.tensors[t] == kNone) continue;
    const Difference d = CompareTensor(lowered, t);
    CAPTURE(lowered.float_model.graph.tensors[t].name);
    CAPTURE(d.rms);
    CAPTURE(d.reference_rms);
    CHECK(20 * std::log10(d.reference_rms / d.rms) > min_db);
  }
}

auto CountNodes(const Graph& graph, OpKind kind) {
  return std::count_if(graph.nodes.begin(), graph.nodes.end(),
                       [&](const Node& node) { return node.kind == kind; });
}

TEST_CASE("input codes are the normalised pixels") {
  const Preprocessing preprocessing = TestPreprocessing(4, 4);
  const ActivationRange range = InputRange(preprocessing);
  const ActivationDecision decision{range.scale, range.zero_point, 8};
  const std::vector<uint8_t> codes = MakeInputCodes(preprocessing, decision);
  REQUIRE(codes.size() == 768);
  for (int c = 0; c < 3; ++c) {
    for (int v = 0; v < 256; ++v) {
      const double real = (v - preprocessing.mean[c]) / preprocessing.std[c];
      const double stored = (codes[c * 256 + v] - range.zero_point) * double{range.scale};
      CHECK(std::abs(real - stored) <= 0.51 * range.scale);
    }
  }
}

TEST_CASE("pixels of one mean and deviation are stored exactly") {
  Preprocessing preprocessing;
  preprocessing.mean = {127, 127, 127};
  preprocessing.std = {128, 128, 128};
  const ActivationRange range = InputRange(preprocessing);
  CHECK(range.zero_point == 127);
  const std::vector<uint8_t> codes =
      MakeInputCodes(preprocessing, {range.scale, range.zero_point, 8});
  for (int v = 0; v < 256; ++v) CHECK(codes[v] == v);
}

TEST_CASE("convolutions with padding, stride, groups, dilation") {
  Window dilated = SquareWindow(3, 1, 2);
  dilated.dilation_h = dilated.dilation_w = 2;
  GraphBuilder b(11, 9, 3);
  uint32_t t = b.Relu(b.Conv(b.input(), 20, SquareWindow(3, 2, 1)));
  t = b.Conv(t, 24, SquareWindow(3, 1, 1), 4);
  t = b.Clip(b.Conv(t, 18, dilated), 0, 6);
  t = b.Depthwise(t, SquareWindow(5, 2, 2));
  CheckAllTensors(LowerForTest(b.Finish(b.Dense(t, 7)), 8, 8, false), 28);
}

TEST_CASE("equalised chains with ReLU and ReLU6") {
  GraphBuilder b(12, 12, 3);
  uint32_t t = b.Clip(b.Conv(b.input(), 20, SquareWindow(3, 1, 1)), 0, 1);
  t = b.Clip(b.Depthwise(t, SquareWindow(3, 2, 1)), 0, 0.5f);
  t = b.Relu(b.Conv(t, 12));
  t = b.Conv(t, 18);
  CheckAllTensors(LowerForTest(b.Finish(b.Dense(t, 7)), 8, 8, true), 28);
}

TEST_CASE("residual additions with and without ReLU, of different scales") {
  GraphBuilder b(8, 8, 3);
  const uint32_t a = b.Relu(b.Conv(b.input(), 8));
  const uint32_t sum = b.Relu(b.Add(a, b.Conv(a, 8, SquareWindow(3, 1, 1))));
  const uint32_t linear = b.Add(sum, b.Conv(sum, 8));
  const Lowered lowered = LowerForTest(b.Finish(b.Dense(linear, 5)), 8, 8, false);
  CheckAllTensors(lowered, 28);
  const Graph& graph = lowered.model.data().graph;
  CHECK(CountNodes(graph, OpKind::kAdd) == 0);
  CHECK(std::count(lowered.tensors.begin(), lowered.tensors.end(), kNone) == 2);
  CHECK(graph.nodes[1].inputs == std::vector<uint32_t>{1, 1});
  CHECK(graph.nodes[1].code_lo == graph.tensors[graph.nodes[1].output].zero_point);
}

TEST_CASE("a residual that is made after the convolution; a sum that cannot be one") {
  GraphBuilder b(8, 8, 3);
  const uint32_t a = b.Relu(b.Conv(b.input(), 8));
  const uint32_t conv = b.Conv(a, 8, SquareWindow(3, 1, 1));
  const uint32_t pool = b.Pool(OpKind::kMaxPool, a, SquareWindow(3, 1, 1));
  const uint32_t sum = b.Add(conv, pool);
  const uint32_t other = b.Add(pool, b.Relu(b.Conv(sum, 8)));
  const Lowered lowered = LowerForTest(b.Finish(b.Dense(other, 5)), 8, 8, false);
  CheckAllTensors(lowered, 28);
  const Graph& graph = lowered.model.data().graph;
  CHECK(CountNodes(graph, OpKind::kAdd) == 1);
  CHECK(graph.nodes[1].kind == OpKind::kMaxPool);
  CHECK(graph.nodes[2].inputs.size() == 2);
}

TEST_CASE("pools, shortcuts by slice and pad, concatenations") {
  GraphBuilder b(13, 13, 3);
  Window ceil = SquareWindow(3, 2, 0);
  ceil.ceil_mode = true;
  const uint32_t a = b.Conv(b.input(), 8);
  const uint32_t max = b.Pool(OpKind::kMaxPool, a, SquareWindow(3, 2, 1));
  const uint32_t average = b.Pool(OpKind::kAvgPool, a, SquareWindow(3, 2, 1), true);
  const uint32_t average_inside = b.Pool(OpKind::kAvgPool, a, SquareWindow(3, 2, 1));
  const uint32_t slice = b.SlicePad(a, 2, 4, 4);
  const uint32_t input_pool = b.Pool(OpKind::kMaxPool, b.input(), SquareWindow(3, 2, 1));
  uint32_t t = b.Concat({max, average, average_inside, slice, input_pool});
  t = b.Pool(OpKind::kMaxPool, t, ceil);
  t = b.Relu(b.Conv(t, 16));
  CheckAllTensors(LowerForTest(b.Finish(b.Dense(b.GlobalAvgPool(t), 6)), 8, 8, false), 26);
}

TEST_CASE("a graph that ends with a pool gets 16-bit logits") {
  GraphBuilder b(8, 8, 3);
  const Lowered lowered =
      LowerForTest(b.Finish(b.GlobalAvgPool(b.Relu(b.Conv(b.input(), 9)))), 8, 8, false);
  CheckAllTensors(lowered, 28);
}

TEST_CASE("fewer bits: codes stay in their range, errors grow as steps do") {
  GraphBuilder b(12, 12, 3);
  uint32_t t = b.Clip(b.Conv(b.input(), 20, SquareWindow(3, 1, 1)), 0, 1);
  t = b.Conv(t, 12);
  t = b.Add(t, b.Conv(t, 12));
  const Graph graph = b.Finish(b.Dense(t, 7));
  double previous_rms = 0;
  for (const int bits : {8, 6, 4, 2}) {
    const Lowered lowered = LowerForTest(graph, bits, 8, false);
    const double rms = CompareTensor(lowered, lowered.float_model.graph.output).rms;
    CHECK(rms > previous_rms);
    previous_rms = rms;
    const Graph& integer = lowered.model.data().graph;
    for (uint32_t i = 0; i < integer.tensors.size(); ++i) {
      if (i == integer.input || i == integer.output) continue;
      CHECK(integer.tensors[i].bits == bits);
    }
  }
  previous_rms = 0;
  for (const int bits : {8, 5, 4, 3, 2, 1}) {
    const Lowered lowered = LowerForTest(graph, 8, bits, false);
    const double rms = CompareTensor(lowered, lowered.float_model.graph.output).rms;
    CHECK(rms > previous_rms);
    previous_rms = rms;
  }
}

TEST_CASE("dead channels become constants with exact biases") {
  GraphBuilder b(6, 6, 3);
  const uint32_t conv = b.Relu(b.Conv(b.input(), 4));
  std::vector<float> values = b.last_weights().values.ToVector();
  std::fill_n(values.begin(), 3, 0.0f);        // channel 0: no weights
  std::fill_n(values.begin() + 3, 3, 1e-30f);  // channel 1: nothing beside its bias
  b.last_weights().values = values;
  b.last_weights().bias = std::vector<float>{0.4f, 0.7f, 0.1f, -0.1f};
  const Lowered lowered = LowerForTest(b.Finish(b.Dense(conv, 3)), 8, 8, false);
  const Difference d = CompareTensor(lowered, 1);
  CHECK(d.largest <= 2.5 * lowered.decisions.activations[1].scale);
  CheckAllTensors(lowered, 28);
}

TEST_CASE("multipliers of additions and pools") {
  for (const double a : {1e-4, 0.01, 0.5, 0.999, 1.0, 3.7, 200.0}) {
    for (const double b : {0.0, 0.02, 1.5, 90.0}) {
      const SharedShift chosen = ChooseAddMultipliers(a, b);
      CHECK(chosen.multiplier[0] <= 32767);
      CHECK(chosen.multiplier[1] <= 32767);
      CHECK(chosen.shift >= 1);
      CHECK(chosen.shift <= 30);
      const double largest = std::max(a, b);
      const double unit = std::ldexp(1.0, -chosen.shift);
      CHECK(std::abs(chosen.multiplier[0] * unit - a) <= largest / 16000);
      CHECK(std::abs(chosen.multiplier[1] * unit - b) <= largest / 16000);
    }
    const SharedShift pool = ChoosePoolMultiplier(a);
    CHECK(pool.shift <= 30);
    CHECK(std::ldexp(pool.multiplier[0], -pool.shift) == doctest::Approx(a).epsilon(1e-5));
  }
}

TEST_CASE("logits must come from a convolution") {
  GraphBuilder b(4, 4, 3);
  const Graph graph = b.Finish(b.GlobalAvgPool(b.input()));
  Decisions decisions;
  decisions.activations.resize(graph.tensors.size());
  decisions.layers.resize(graph.nodes.size());
  CHECK(LowerGraph(graph, decisions).status().message() ==
        "node 'GlobalAvgPool0' makes the logits, expected a convolution");
}

}  // namespace
}  // namespace mpq
