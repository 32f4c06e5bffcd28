// PTILMPQ: the selection of channels, alpha, and the paper's breakpoints.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <random>

#include "quantize/ptilmpq/pwlq.h"
#include "quantize/ptilmpq/selection.h"
#include "quantize/quantize.h"
#include "tests/quantize/graph_builder.h"

namespace mpq {
namespace {

TEST_CASE("breakpoints: the approximation, the exact one, and what the literature finds") {
  struct Case {
    double m, exact, approximate;  // in units of m
  };
  for (const Case& c : {Case{3, .386, .387},
                        {4, .348, .350},
                        {5, .318, .318},
                        {6, .292, .292},
                        {8, .252, .252},
                        {10, .221, .222}}) {
    CAPTURE(c.m);
    CHECK(std::abs(ExactGaussianBreakpoint(c.m) / c.m - c.exact) < 0.0006);
    CHECK(std::abs(GaussianBreakpoint(c.m) / c.m - c.approximate) < 0.0006);
    // The exact one is the least error; the approximation costs next to nothing.
    const double least = GaussianPwlqError(c.m, ExactGaussianBreakpoint(c.m), 4);
    CHECK(GaussianPwlqError(c.m, GaussianBreakpoint(c.m), 4) < least * 1.0003);
    for (double p = 0.02 * c.m; p < 0.5 * c.m; p += 0.02 * c.m) {
      CHECK(GaussianPwlqError(c.m, p, 4) >= least * (1 - 1e-9));
    }
  }
  CHECK(LaplaceBreakpoint(10) == doctest::Approx(0.80304483 * std::sqrt(10.0) - 0.31667855));
}

TEST_CASE("the error model is convex in the breakpoint") {
  for (const double m : {3.0, 6.0, 10.0}) {
    const double step = m / 200;
    for (double p = step; p < m / 2 - step; p += step) {
      CHECK(GaussianPwlqError(m, p - step, 4) + GaussianPwlqError(m, p + step, 4) >=
            2 * GaussianPwlqError(m, p, 4) - 1e-15);
    }
  }
}

TEST_CASE("levels: four pieces that share 0 and the breakpoints") {
  const std::vector<double> levels = PwlqLevels(4.0, 1.5, 4);
  CHECK(levels.size() == 4 * 7 + 1);  // 7 steps a piece
  CHECK(levels.front() == -4.0);
  CHECK(levels.back() == 4.0);
  CHECK(levels[levels.size() / 2] == 0.0);
  CHECK(std::count(levels.begin(), levels.end(), 1.5) == 1);
}

TEST_CASE("the error model predicts the error of normal weights") {
  std::mt19937 random(4);
  std::normal_distribution<float> normal;
  std::vector<float> weights(40000);
  for (float& w : weights) w = normal(random);
  const double m = std::abs(*std::max_element(
      weights.begin(), weights.end(), [](float a, float b) { return std::abs(a) < std::abs(b); }));
  for (const int bits : {4, 5}) {
    const std::vector<float> quantized = QuantizePwlq(weights, bits);
    double error = 0;
    for (size_t i = 0; i < weights.size(); ++i) {
      error += std::pow(weights[i] - quantized[i], 2) / static_cast<double>(weights.size());
    }
    CHECK(error ==
          doctest::Approx(GaussianPwlqError(m, GaussianBreakpoint(m), bits)).epsilon(0.06));
  }
}

std::vector<LayerImportance> RandomLayers(std::mt19937& random) {
  std::uniform_real_distribution<double> unit;
  std::vector<LayerImportance> layers(2 + random() % 12);
  for (LayerImportance& layer : layers) {
    layer.sensitivity = std::pow(unit(random), 3);
    layer.blocks.resize(1 + random() % 9);
    for (BlockImportance& block : layer.blocks) {
      block = {static_cast<uint32_t>(1 + random() % 16), unit(random), 16 + random() % 500};
    }
  }
  layers.front().always_high = true;
  return layers;
}

TEST_CASE("more alpha never takes a block back; 0 and 1 are the ends") {
  std::mt19937 random(7);
  for (const AlphaMode mode : {AlphaMode::kFraction, AlphaMode::kLagrange}) {
    for (int round = 0; round < 30; ++round) {
      const std::vector<LayerImportance> layers = RandomLayers(random);
      std::vector<std::vector<bool>> before = SelectHighBlocks(layers, 0, mode);
      for (size_t i = 0; i < layers.size(); ++i) {
        for (const bool high : before[i]) CHECK(high == layers[i].always_high);
      }
      for (int step = 1; step <= 20; ++step) {
        const auto now = SelectHighBlocks(layers, step / 20.0, mode);
        for (size_t i = 0; i < layers.size(); ++i) {
          for (size_t b = 0; b < now[i].size(); ++b) CHECK(now[i][b] >= before[i][b]);
        }
        before = now;
      }
      const auto largest = std::max_element(
          layers.begin(), layers.end(),
          [](const auto& a, const auto& b) { return a.sensitivity < b.sensitivity; });
      for (const bool high : before[static_cast<size_t>(largest - layers.begin())]) CHECK(high);
    }
  }
}

TEST_CASE("the most important blocks of the most sensitive layers come first") {
  const std::vector<LayerImportance> layers = {
      {1.0, false, {{16, 0.1, 100}, {16, 0.7, 100}, {16, 0.2, 100}, {16, 0.3, 100}}},
      {0.01, false, {{16, 9.0, 100}, {16, 8.0, 100}}},
      {0.5, false, {{16, 1.0, 100}}}};
  const auto high = SelectHighBlocks(layers, 0.5, AlphaMode::kFraction);
  CHECK(high[0] == std::vector<bool>{false, true, false, true});
  CHECK(high[1] == std::vector<bool>{false, false});  // beyond 90 % of the sensitivity
  CHECK(high[2] == std::vector<bool>{true});          // 8 of 16 channels: half a block counts
}

ModelData SmallModel() {
  GraphBuilder b(16, 16, 3, 21);
  uint32_t t = b.Relu(b.Conv(b.input(), 20, SquareWindow(3, 2, 1)));
  t = b.Relu(b.Conv(t, 96));
  t = b.Relu(b.Conv(t, 64));
  ModelData model;
  model.graph = b.Finish(b.Dense(b.GlobalAvgPool(t), 10));
  model.preprocessing.crop_height = model.preprocessing.crop_width = 16;
  model.preprocessing.mean = {127, 127, 127};
  model.preprocessing.std = {64, 64, 64};
  return model;
}

TEST_CASE("whole models: alpha trades size for accuracy, inside layers, measured or data-free") {
  const CalibrationImages images = RandomImages(40, 16, 16, 6);
  QuantizeOptions options;
  options.method = "ptilmpq";
  options.rounding = Rounding::kGptq;
  PtilmpqOptions& ptilmpq = options.method_options.ptilmpq;
  ptilmpq.low_bits = 2;
  ptilmpq.high_bits = 5;
  for (const AlphaMode mode : {AlphaMode::kFraction, AlphaMode::kLagrange}) {
    for (const bool data_free : {false, true}) {
      CAPTURE(AlphaModeName(mode));
      CAPTURE(data_free);
      ptilmpq.mode = mode;
      ptilmpq.data_free = data_free;
      std::vector<Quantized> models;
      for (const double alpha : {0.0, 0.5, 1.0}) {
        ptilmpq.alpha = alpha;
        auto quantized = Quantize(SmallModel(), images, options, Progress());
        REQUIRE_MESSAGE(quantized.ok(), quantized.status().message());
        models.push_back(*std::move(quantized));
      }
      CHECK(models[0].size.stream_bytes <= models[1].size.stream_bytes);
      CHECK(models[1].size.stream_bytes <= models[2].size.stream_bytes);
      CHECK(models[0].size.stream_bytes < models[2].size.stream_bytes);
      CHECK(models[2].agreement.mean_kl < models[0].agreement.mean_kl);
    }
  }
}

TEST_CASE("a target size is met by alpha, or refused") {
  const CalibrationImages images = RandomImages(40, 16, 16, 6);
  QuantizeOptions options;
  options.method = "ptilmpq";
  options.rounding = Rounding::kGptq;
  const auto bytes_at = [&](double alpha) {
    options.method_options.ptilmpq.alpha = alpha;
    return Quantize(SmallModel(), images, options, Progress()).value().size.file_bytes;
  };
  options.method_options.ptilmpq.mode = AlphaMode::kLagrange;
  const uint64_t least = bytes_at(0);
  const uint64_t most = bytes_at(1);
  options.target_bytes = (least + most) / 2;
  const auto quantized = Quantize(SmallModel(), images, options, Progress());
  REQUIRE_MESSAGE(quantized.ok(), quantized.status().message());
  CHECK(quantized->size.file_bytes <= options.target_bytes);
  CHECK(quantized->size.file_bytes > least);
  options.target_bytes = 100;
  CHECK(Quantize(SmallModel(), images, options, Progress())
            .status()
            .message()
            .find("alpha 0 with 3 bits makes a file of") != std::string::npos);
}

TEST_CASE("the paper's own layout stands beside ours: bits as the paper counts and as stored") {
  const CalibrationImages images = RandomImages(40, 16, 16, 6);
  QuantizeOptions options;
  options.method = "ptilmpq";
  options.rounding = Rounding::kGptq;
  options.method_options.ptilmpq = {.alpha = 1, .low_bits = 5, .high_bits = 6};
  options.paper_layouts = true;
  const auto quantized = Quantize(SmallModel(), images, options, Progress());
  REQUIRE_MESSAGE(quantized.ok(), quantized.status().message());
  const std::vector<PaperLayout>& layouts = quantized->observations.paper_layouts;
  REQUIRE(layouts.size() == 2);
  const uint64_t weights = quantized->size.num_weights;
  CHECK(layouts[0].stored_bits == quantized->size.nominal_bits);
  CHECK(layouts[1].nominal_bits == quantized->size.nominal_bits);
  for (const PaperLayout& layout : layouts) {
    CHECK(layout.stored_bits == layout.nominal_bits + weights);
    CHECK(layout.agreement.num_images == images.count);
  }
  CHECK(layouts[1].agreement.mean_kl < layouts[0].agreement.mean_kl);
  options.method = "two-region";
  CHECK(Quantize(SmallModel(), images, options, Progress())
            .value()
            .observations.paper_layouts.empty());
}

TEST_CASE("bad options are refused") {
  PtilmpqOptions options;
  options.alpha = 1.5;
  CHECK(CheckPtilmpqOptions(options).message() == "alpha: 1.5, expected 0..1");
  options = {.low_bits = 4, .high_bits = 4};
  CHECK(CheckPtilmpqOptions(options).message() ==
        "low and high bits: 4 and 4, expected 2 <= low < high <= 6");
  CHECK(ParseAlphaMode("half").status().message() ==
        "alpha mode 'half', expected fraction or lagrange");
}

}  // namespace
}  // namespace mpq
