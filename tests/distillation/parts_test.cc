// The parts of distillation one by one: loss, Adam, views, latent weights.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <random>
#include <vector>

#include "format/code_layout.h"
#include "quantize/augmentation.h"
#include "quantize/distillation/divergence.h"
#include "quantize/distillation/latent_layer.h"
#include "quantize/gradient/adam.h"
#include "quantize/weight_range.h"
#include "tests/quantize/graph_builder.h"

namespace mpq {
namespace {

TEST_CASE("the loss is a divergence, and its gradient the differences") {
  const std::vector<float> teacher = {1, -2, 0.5f, 3};
  std::vector<float> student = {0, 1, 2.5f, -1};
  std::vector<float> gradient(4);
  std::vector<float> unused(4);
  CHECK(DistillationLoss(teacher, teacher, 1, gradient) == doctest::Approx(0));
  for (const float g : gradient) CHECK(g == doctest::Approx(0));
  // A constant added to all logits changes nothing.
  const std::vector<float> shifted = {101, 98, 100.5f, 103};
  CHECK(DistillationLoss(teacher, shifted, 1, gradient) == doctest::Approx(0).epsilon(1e-6));
  for (const float temperature : {1.0f, 3.0f}) {
    const double loss = DistillationLoss(teacher, student, temperature, gradient);
    CHECK(loss > 0);
    for (size_t i = 0; i < 4; ++i) {
      const float before = student[i];
      student[i] = before + 1e-2f;
      const double above = DistillationLoss(teacher, student, temperature, unused);
      student[i] = before - 1e-2f;
      const double below = DistillationLoss(teacher, student, temperature, unused);
      student[i] = before;
      CHECK(gradient[i] == doctest::Approx((above - below) / 2e-2).epsilon(1e-3));
    }
  }
  // KL((1/2, 1/2) || (1/4, 3/4)) = ln(4 / 3) / 2
  const std::vector<float> even = {0, 0};
  const std::vector<float> uneven = {0, std::log(3.0f)};
  gradient.resize(2);
  CHECK(DistillationLoss(even, uneven, 1, gradient) == doctest::Approx(0.5 * std::log(4.0 / 3)));
}

TEST_CASE("Adam: the first step is the rate, later ones follow the formula") {
  Adam adam(2);
  std::vector<float> parameters = {1, 1};
  adam.Step(1, 0.1f, std::vector<float>{5, -0.01f}, parameters);
  CHECK(parameters[0] == doctest::Approx(0.9));
  CHECK(parameters[1] == doctest::Approx(1.1));
  adam.Step(2, 0.1f, std::vector<float>{-1, -0.01f}, parameters);
  const double m = (0.9 * 0.5 - 0.1) / (1 - 0.81);
  const double v = (0.999 * 0.025 + 0.001) / (1 - 0.998001);
  CHECK(parameters[0] == doctest::Approx(0.9 - 0.1 * m / std::sqrt(v)));
  CHECK(parameters[1] == doctest::Approx(1.2));
}

TEST_CASE("views are the same for the same seed, differ between seeds and are filled") {
  const CalibrationImages images = RandomImages(2, 20, 24, 1);
  std::vector<uint8_t> a(images.image_bytes(), 7);
  std::vector<uint8_t> b(images.image_bytes(), 9);
  RandomView(images, 1, Interpolation::kBilinear, 3, a);
  RandomView(images, 1, Interpolation::kBilinear, 3, b);
  CHECK(a == b);
  RandomView(images, 1, Interpolation::kBilinear, 4, b);
  CHECK(a != b);

  CalibrationImages grey{1, 9, 5, std::vector<uint8_t>(9 * 5 * 3, 77)};
  std::vector<uint8_t> view(grey.image_bytes());
  for (uint64_t seed = 0; seed < 50; ++seed) {
    RandomView(grey, 0, Interpolation::kBicubic, seed, view);
    CHECK(view == grey.pixels);
  }
}

TEST_CASE("half of the views are mirrored") {
  // Brighter to the right: mirrored views are brighter to the left.
  CalibrationImages ramp{1, 16, 16, {}};
  for (uint32_t i = 0; i < 16 * 16; ++i) ramp.pixels.insert(ramp.pixels.end(), 3, i % 16 * 16);
  std::vector<uint8_t> view(ramp.image_bytes());
  int mirrored = 0;
  for (uint64_t seed = 0; seed < 400; ++seed) {
    RandomView(ramp, 0, Interpolation::kBilinear, MixSeed(1, seed, 2), view);
    mirrored += view[0] > view[15 * 3];
  }
  CHECK(mirrored > 150);
  CHECK(mirrored < 250);
}

// One grouped convolution with a decision of any level set; 20 channels a group make the blocks
// uneven.
struct Layer {
  Graph graph;
  LayerDecision decision;
  std::vector<float> weights;

  explicit Layer(LevelSetKind kind) {
    GraphBuilder b(4, 4, 6, 3);
    graph = b.Finish(b.Conv(b.input(), 40, SquareWindow(3, 1, 1), 2));
    const Node& node = graph.nodes[0];
    const CodeLayout layout = MakeCodeLayout(graph, node);
    weights = graph.weights[0].values.ToVector();
    decision.level_set = kind;
    decision.block_bits.assign(layout.blocks(), 3);
    decision.block_bits.back() = kind == LevelSetKind::kTable ? 3 : 4;
    if (kind == LevelSetKind::kTwoRegion) {
      decision.block_shapes.assign(layout.blocks(), TwoRegionShape{2, 2, true}.Pack());
    }
    if (kind == LevelSetKind::kTable) decision.tables = {-60, -25, -9, 0, 8, 20, 41, 77};
    decision.bias.assign(40, 0.25);
    std::mt19937_64 random(4);
    for (uint32_t c = 0; c < 40; ++c) {
      decision.scales.push_back(kind == LevelSetKind::kTable ? 0.01 : 0.1 + 0.01 * c);
    }
    for (uint32_t block = 0; block < layout.blocks(); ++block) {
      const size_t codes = layout.BlockChannels(block) * weights.size() / 40;
      for (size_t i = 0; i < codes; ++i) {
        decision.codes.push_back(
            static_cast<uint8_t>(random() % (1u << decision.block_bits[block])));
      }
    }
  }

  LatentLayer Latent() const {
    auto latent = LatentLayer::Create(graph, graph.nodes[0], decision, weights, 0.5f);
    REQUIRE_MESSAGE(latent.ok(), latent.status().message());
    return *std::move(latent);
  }
};

TEST_CASE("latent weights start at any codes of any level set") {
  for (const LevelSetKind kind :
       {LevelSetKind::kUniform, LevelSetKind::kTwoRegion, LevelSetKind::kTable}) {
    CAPTURE(LevelSetKindName(kind));
    const Layer layer(kind);
    const LatentLayer latent = layer.Latent();
    LayerDecision decided = layer.decision;
    std::fill(decided.codes.begin(), decided.codes.end(), uint8_t{0});
    latent.Decide(decided);
    CHECK(decided.codes == layer.decision.codes);
    const auto levels = LayerLevels(layer.graph, layer.graph.nodes[0], layer.decision);
    REQUIRE(levels.ok());
    const std::vector<float> quantized = latent.QuantizedWeights();
    const size_t row = quantized.size() / 40;
    for (size_t i = 0; i < quantized.size(); ++i) {
      CHECK(quantized[i] ==
            doctest::Approx(layer.decision.scales[i / row] * (*levels)[i]).epsilon(1e-6));
    }
  }
}

TEST_CASE("gradients: weights pass inside the levels, scales as in LSQ") {
  GraphBuilder b(1, 1, 4, 3);
  const Graph graph = b.Finish(b.Conv(b.input(), 1));
  LayerDecision decision;
  decision.block_bits = {2};  // levels -2, -1, 0, 1
  decision.scales = {0.5};
  decision.bias = {1};
  const std::vector<float> weights = {0.2f, -0.6f, 2, -7};  // of which two are beyond the levels
  decision.codes.resize(4);
  const auto levels = UniformLevels(2);
  REQUIRE(levels.ok());
  EncodeWeights(weights, *levels, 0.5, decision.codes);
  const auto latent_with = [&](const std::vector<float>& gradient, float rate) {
    auto latent = LatentLayer::Create(graph, graph.nodes[0], decision, weights, 0.5f);
    REQUIRE(latent.ok());
    latent->Step(1, {rate, rate, rate}, {gradient, {3}});
    std::vector<std::vector<float>> states;
    latent->ForEachState([&](const std::vector<float>& state) { states.push_back(state); });
    return states;
  };
  // States: weights, scales, bias, then each one's mean and square.
  const auto states = latent_with({1, 1, 1, 1}, 0.01f);
  // All in units of the first scale, and of the bias step.
  CHECK(states[0][0] == doctest::Approx(0.39));
  CHECK(states[0][1] == doctest::Approx(-1.21));
  CHECK(states[0][2] == 4);
  CHECK(states[0][3] == -14);
  CHECK(states[2][0] == doctest::Approx(1.99));
  // Adam's mean is a tenth of the gradient, 0.5 ((0 - 0.4) + (-1 + 1.2) + 1 - 2).
  CHECK(states[5][0] == doctest::Approx(0.1 * 0.5 * (-0.4 + 0.2 + 1 - 2)));
  CHECK(states[1][0] == doctest::Approx(1.01));
  CHECK(states[7][0] == doctest::Approx(0.1 * 0.5 * 3));
}

TEST_CASE("power-of-two scales stay, and no scale vanishes") {
  Layer layer(LevelSetKind::kUniform);
  const ConvolutionGradient gradient{std::vector<float>(layer.weights.size(), 1),
                                     std::vector<float>(40, 1)};
  LatentLayer free = layer.Latent();
  for (uint32_t t = 1; t < 100; ++t) free.Step(t, {0, 1, 0}, gradient);
  LayerDecision decided = layer.decision;
  free.Decide(decided);
  for (size_t c = 0; c < 40; ++c) CHECK(decided.scales[c] >= layer.decision.scales[c] / 65);
  layer.decision.shifted = true;
  LatentLayer fixed = layer.Latent();
  fixed.Step(1, {0, 1, 0}, gradient);
  fixed.Decide(decided);
  for (size_t c = 0; c < 40; ++c) {
    CHECK(decided.scales[c] == doctest::Approx(layer.decision.scales[c]));
  }
}

}  // namespace
}  // namespace mpq
