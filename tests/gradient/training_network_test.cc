#include "quantize/gradient/training_network.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <random>
#include <thread>
#include <vector>

#include "quantize/passes/graph_view.h"
#include "quantize/passes/simplify.h"
#include "tests/quantize/graph_builder.h"

namespace mpq {
namespace {

using Random = std::mt19937_64;

bool HasOneDnn() {
  if (FloatBackendDescription().starts_with("onednn")) return true;
  MESSAGE("skipped: ", FloatBackendDescription());
  return false;
}

uint32_t Pick(Random& random, uint32_t lo, uint32_t hi) {
  return lo + static_cast<uint32_t>(random() % (hi - lo + 1));
}

std::vector<float> RandomValues(Random& random, size_t count) {
  std::normal_distribution<float> normal;
  std::vector<float> values(count);
  for (float& value : values) value = normal(random);
  return values;
}

// L = sum(direction * output), whose gradients are compared with differences (L(p + h) - L(p - h))
// / 2h of every kind of parameter p.
class GradientCheck {
 public:
  GradientCheck(const Graph& graph, uint32_t batch, uint64_t seed)
      : graph_(graph), random_(seed), gradients_(graph) {
    auto network = TrainingNetwork::Create(graph, batch, {});
    REQUIRE_MESSAGE(network.ok(), network.status().message());
    network_ = std::move(network).value();
    auto tape = Tape::Create(*network_);
    REQUIRE(tape.ok());
    tape_.push_back(std::move(tape).value());
    const Tensor& input = graph.tensors[graph.input];
    const Tensor& output = graph.tensors[graph.output];
    src_ = RandomValues(random_, size_t{batch} * input.height * input.width * input.channels);
    direction_ =
        RandomValues(random_, size_t{batch} * output.height * output.width * output.channels);
  }

  // The root mean square of the differences from the gradients, in units of the gradients' own, of
  // the worst kind of parameter.
  double Run(int samples, float step = 1.0f / 256) {
    step_ = step;
    Loss();
    d_src_.resize(src_.size());
    const Status status = tape_[0].Backward(direction_, gradients_, d_src_);
    REQUIRE_MESSAGE(status.ok(), status.message());
    double worst = Compare(src_, d_src_, samples, [] {});
    for (uint32_t n = 0; n < graph_.nodes.size(); ++n) {
      if (!IsConvolution(graph_.nodes[n])) continue;
      const Weights& weights = graph_.weights[graph_.nodes[n].weights];
      std::vector<float> values = weights.values.ToVector();
      std::vector<float> bias = weights.bias.ToVector();
      bias.resize(weights.out_channels);
      const auto set = [&] { REQUIRE(network_->SetWeights(n, values, bias).ok()); };
      worst = std::max(worst, Compare(values, gradients_.nodes[n].weights, samples, set));
      worst = std::max(worst, Compare(bias, gradients_.nodes[n].bias, samples, set));
    }
    return worst;
  }

 private:
  double Loss() {
    const Status status = tape_[0].Forward(src_);
    REQUIRE_MESSAGE(status.ok(), status.message());
    const auto out = tape_[0].Read(graph_.output);
    double loss = 0;
    for (size_t i = 0; i < out.size(); ++i) loss += double{direction_[i]} * out[i];
    return loss;
  }

  template <typename Set>
  double Compare(std::vector<float>& parameters, const std::vector<float>& gradient, int samples,
                 const Set& set) {
    REQUIRE(gradient.size() == parameters.size());
    double power = 0;
    for (const float g : gradient) power += double{g} * g;
    const double rms = std::sqrt(power / static_cast<double>(gradient.size()));
    double error = 0;
    for (int i = 0; i < samples; ++i) {
      const size_t at = random_() % parameters.size();
      const float before = parameters[at];
      const auto loss_at = [&](float value) {
        parameters[at] = value;
        set();
        return Loss();
      };
      const double numeric = (loss_at(before + step_) - loss_at(before - step_)) /
                             (double{before + step_} - double{before - step_});
      loss_at(before);
      error += (numeric - gradient[at]) * (numeric - gradient[at]);
    }
    return std::sqrt(error / samples) / (rms + 1e-3);
  }

  const Graph& graph_;
  Random random_;
  float step_ = 0;
  std::unique_ptr<TrainingNetwork> network_;
  std::vector<Tape> tape_;
  std::vector<float> src_, direction_, d_src_;
  WeightGradients gradients_;
};

Window RandomWindow(Random& random, uint32_t max_dilation) {
  Window w;
  w.kernel_h = Pick(random, 1, 4);
  w.kernel_w = Pick(random, 1, 4);
  w.stride_h = Pick(random, 1, 3);
  w.stride_w = Pick(random, 1, 3);
  w.dilation_h = Pick(random, 1, max_dilation);
  w.dilation_w = Pick(random, 1, max_dilation);
  w.pad_top = Pick(random, 0, w.kernel_h - 1);
  w.pad_bottom = Pick(random, 0, w.kernel_h - 1);
  w.pad_left = Pick(random, 0, w.kernel_w - 1);
  w.pad_right = Pick(random, 0, w.kernel_w - 1);
  return w;
}

// Differences of linear functions are exact but for float rounding.
constexpr double kLinear = 5e-3;
// A step may cross a kink of a few ReLUs or maxima; a short one crosses fewer and rounds more.
constexpr double kPiecewiseLinear = 5e-2;
constexpr float kShortStep = 1.0f / 4096;

// A network with every operator; tensors that several nodes read; fused clips.
Graph EveryOperator() {
  GraphBuilder b(13, 11, 3);
  const uint32_t stem = b.Clip(b.Conv(b.input(), 16, SquareWindow(3, 1, 1)), 0, 2);
  const uint32_t pool = b.Pool(OpKind::kMaxPool, stem, SquareWindow(3, 2, 1));
  const uint32_t expand = b.Relu(b.Conv(pool, 24));
  const uint32_t depthwise = b.Relu(b.Depthwise(expand, SquareWindow(3, 1, 1)));
  const uint32_t project = b.Conv(depthwise, 16);
  const uint32_t sum = b.Add(project, pool);
  const uint32_t grouped = b.Relu(b.Conv(sum, 16, SquareWindow(3, 1, 1), 4));
  const uint32_t average = b.Pool(OpKind::kAvgPool, sum, SquareWindow(3, 1, 1), true);
  const uint32_t both = b.Concat({grouped, average, sum});
  const uint32_t sliced = b.SlicePad(both, 2, 3, 5);
  const uint32_t mixed = b.Relu(b.Conv(sliced, 20));
  return b.Finish(b.Dense(b.GlobalAvgPool(mixed), 7));
}

TEST_CASE("convolutions: gradients of weights, biases and input are the differences") {
  if (!HasOneDnn()) return;
  Random random(1);
  for (int round = 0; round < 60; ++round) {
    const bool depthwise = round % 3 == 0;
    const uint32_t groups = depthwise || round % 3 == 1 ? 1 : Pick(random, 2, 4);
    const uint32_t in_channels = groups * Pick(random, 1, round % 2 ? 5 : 40);
    Window window = RandomWindow(random, 2);
    if (round % 5 == 0) window = SquareWindow(1);
    const uint32_t height = Pick(random, window.kernel_h * 2, 12);
    GraphBuilder b(height, Pick(random, window.kernel_w * 2, 12), in_channels, round);
    const uint32_t out =
        depthwise ? b.Depthwise(b.input(), window)
                  : b.Conv(b.input(), groups * Pick(random, 1, round % 2 ? 5 : 40), window, groups);
    const Graph graph = b.Finish(out);
    CAPTURE(round);
    CHECK(GradientCheck(graph, Pick(random, 1, 3), round).Run(6) < kLinear);
  }
}

TEST_CASE("dense layers") {
  if (!HasOneDnn()) return;
  GraphBuilder b(5, 4, 6);
  const Graph graph = b.Finish(b.Dense(b.input(), 31));
  CHECK(GradientCheck(graph, 3, 1).Run(20) < kLinear);
}

TEST_CASE("pools") {
  if (!HasOneDnn()) return;
  Random random(2);
  for (int round = 0; round < 30; ++round) {
    GraphBuilder b(Pick(random, 8, 12), Pick(random, 8, 12), Pick(random, 1, 20), round);
    const OpKind kind = round % 3 == 0 ? OpKind::kMaxPool : OpKind::kAvgPool;
    Window window = RandomWindow(random, 2);
    window.ceil_mode = round % 4 == 0;
    const Graph graph = b.Finish(b.Pool(kind, b.input(), window, round % 3 == 1));
    CAPTURE(round);
    // A short step for the largest: two inputs that change places within it spoil the difference.
    // What it copies is exact, so a short step loses nothing.
    const bool largest = kind == OpKind::kMaxPool;
    CHECK(GradientCheck(graph, 2, round).Run(20, largest ? 1.0f / 8192 : 1.0f / 256) <
          (largest ? kPiecewiseLinear : kLinear));
  }
}

TEST_CASE("global average, Add, Concat and SlicePad") {
  if (!HasOneDnn()) return;
  GraphBuilder b(6, 5, 4);
  const uint32_t concat = b.Concat({b.input(), b.input()});
  const uint32_t sum = b.Add(b.SlicePad(b.input(), 1, 1, 3), concat);
  const Graph graph = b.Finish(b.GlobalAvgPool(sum));
  CHECK(GradientCheck(graph, 2, 1).Run(60) < kLinear);
}

TEST_CASE("a maximum passes its gradient to the first largest value") {
  if (!HasOneDnn()) return;
  GraphBuilder b(2, 2, 1);
  const Graph graph = b.Finish(b.Pool(OpKind::kMaxPool, b.input(), SquareWindow(2)));
  const auto network = TrainingNetwork::Create(graph, 1, {});
  REQUIRE(network.ok());
  auto tape = Tape::Create(**network);
  REQUIRE(tape.ok());
  REQUIRE(tape->Forward(std::vector<float>{1, 3, 3, 2}).ok());
  WeightGradients gradients(graph);
  std::vector<float> d_src(4);
  REQUIRE(tape->Backward(std::vector<float>{5}, gradients, d_src).ok());
  CHECK(d_src == std::vector<float>{0, 5, 0, 0});
}

TEST_CASE("clips stop the gradient outside their bounds, fused or not") {
  if (!HasOneDnn()) return;
  for (const bool fused : {false, true}) {
    GraphBuilder b(1, 5, 1);
    const uint32_t source = fused ? b.Add(b.input(), b.input()) : b.input();
    Graph graph = b.Finish(b.Clip(source, 0, 6));
    Simplify(graph);
    REQUIRE(graph.nodes.size() == 1);
    const float factor = fused ? 2 : 1;
    const auto network = TrainingNetwork::Create(graph, 1, {});
    REQUIRE(network.ok());
    auto tape = Tape::Create(**network);
    REQUIRE(tape.ok());
    REQUIRE(tape->Forward(std::vector<float>{-1, 0.5f, 2, 5.75f / factor, 7}).ok());
    WeightGradients gradients(graph);
    std::vector<float> d_src(5);
    REQUIRE(tape->Backward(std::vector<float>{1, 2, 3, 4, 5}, gradients, d_src).ok());
    CHECK(d_src == std::vector<float>{0, 2 * factor, 3 * factor, 4 * factor, 0});
  }
}

TEST_CASE("a network with every operator") {
  if (!HasOneDnn()) return;
  Graph graph = EveryOperator();
  CHECK(GradientCheck(graph, 2, 3).Run(40, kShortStep) < kPiecewiseLinear);
  Simplify(graph);  // clips move into nodes
  CHECK(GradientCheck(graph, 3, 4).Run(40, kShortStep) < kPiecewiseLinear);
}

TEST_CASE("the forward pass is the float executor's") {
  if (!HasOneDnn()) return;
  Graph graph = EveryOperator();
  Simplify(graph);
  const std::vector<float> src = RandomInput(graph, 5);
  const std::vector<float> expected = RunReference(graph, src);
  const auto network = TrainingNetwork::Create(graph, 1, {});
  REQUIRE(network.ok());
  auto tape = Tape::Create(**network);
  REQUIRE(tape.ok());
  REQUIRE(tape->Forward(src).ok());
  const auto logits = tape->Read(graph.output);
  REQUIRE(logits.size() == expected.size());
  for (size_t i = 0; i < expected.size(); ++i) {
    CHECK(logits[i] == doctest::Approx(expected[i]).epsilon(1e-4));
  }
}

TEST_CASE("rounded tensors: values are codes, gradients pass inside the range") {
  if (!HasOneDnn()) return;
  GraphBuilder b(1, 6, 1);
  Graph graph = b.Finish(b.Clip(b.Add(b.input(), b.input()), 0, 6));
  Simplify(graph);
  std::vector<TensorCodes> codes(graph.tensors.size());
  codes[graph.output] = {.scale = 0.5f, .zero_point = 0, .bits = 3};  // 0..3.5
  const auto network = TrainingNetwork::Create(graph, 1, codes);
  REQUIRE(network.ok());
  auto tape = Tape::Create(**network);
  REQUIRE(tape.ok());
  REQUIRE(tape->Forward(std::vector<float>{-0.05f, 0.1f, 0.3f, 1.7f, 1.8f, 9}).ok());
  const auto out = tape->Read(graph.output);
  CHECK(std::vector<float>(out.begin(), out.end()) ==
        std::vector<float>{0, 0, 0.5f, 3.5f, 3.5f, 3.5f});
  WeightGradients gradients(graph);
  std::vector<float> d_src(6);
  REQUIRE(tape->Backward(std::vector<float>(6, 1), gradients, d_src).ok());
  CHECK(d_src == std::vector<float>{0, 2, 2, 2, 0, 0});
}

TEST_CASE("signed codes have a zero point, and 0 stays 0") {
  GraphBuilder b(1, 1, 4);
  const Node no_clip;
  const ActivationQuantizer quantizer(no_clip, {.scale = 0.25f, .zero_point = 100, .bits = 8});
  std::vector<float> values = {0, -30, 0.3f, 50};
  std::vector<uint8_t> passes(4);
  quantizer.Forward(values, passes);
  CHECK(values == std::vector<float>{0, -25, 0.25f, 38.75f});
  CHECK(passes == std::vector<uint8_t>{1, 0, 1, 0});
}

TEST_CASE("tapes in several threads give the bits of one") {
  if (!HasOneDnn()) return;
  Graph graph = EveryOperator();
  Simplify(graph);
  constexpr uint32_t kBatch = 3;
  const auto network = TrainingNetwork::Create(graph, kBatch, {});
  REQUIRE(network.ok());
  Random random(9);
  const std::vector<float> src = RandomValues(random, size_t{kBatch} * 13 * 11 * 3);
  const std::vector<float> direction = RandomValues(random, size_t{kBatch} * 7);
  constexpr int kThreads = 4;
  std::vector<WeightGradients> gradients(kThreads, WeightGradients(graph));
  std::vector<std::jthread> threads;
  for (int i = 0; i < kThreads; ++i) {
    threads.emplace_back([&, i] {
      auto tape = Tape::Create(**network);
      for (int round = 0; tape.ok() && round < 10; ++round) {
        if (!tape->Forward(src).ok() || !tape->Backward(direction, gradients[i]).ok()) return;
      }
    });
  }
  threads.clear();
  for (int i = 1; i < kThreads; ++i) {
    for (size_t n = 0; n < graph.nodes.size(); ++n) {
      CHECK(gradients[i].nodes[n].weights == gradients[0].nodes[n].weights);
      CHECK(gradients[i].nodes[n].bias == gradients[0].nodes[n].bias);
    }
  }
  CHECK(*std::max_element(gradients[0].nodes[0].bias.begin(), gradients[0].nodes[0].bias.end()) >
        0);
}

TEST_CASE("errors are values") {
  if (!HasOneDnn()) return;
  const Graph graph = EveryOperator();
  CHECK(!TrainingNetwork::Create(graph, 0, {}).ok());
  CHECK(!TrainingNetwork::Create(graph, 1, std::vector<TensorCodes>(2)).ok());
  const auto network = TrainingNetwork::Create(graph, 1, {});
  REQUIRE(network.ok());
  CHECK(!(*network)->SetWeights(0, std::vector<float>(3), std::vector<float>(16)).ok());
  auto tape = Tape::Create(**network);
  REQUIRE(tape.ok());
  CHECK(!tape->Forward(std::vector<float>(3)).ok());
  WeightGradients gradients(graph);
  CHECK(!tape->Backward(std::vector<float>(3), gradients).ok());
}

// Last: it takes oneDNN from the process.
TEST_CASE("without oneDNN there is a message") {
  REQUIRE(SetFloatIsa("scalar").ok());
  const auto network = TrainingNetwork::Create(EveryOperator(), 1, {});
  REQUIRE(!network.ok());
  CHECK(network.status().code() == ErrorCode::kUnsupported);
  CHECK(network.status().message().find("gradients need oneDNN") != std::string::npos);
}

}  // namespace
}  // namespace mpq
