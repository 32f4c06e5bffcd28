// Levels learned from a layer's weights.
#include "quantize/learned_levels.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <random>

#include "quantize/quantize.h"
#include "quantize/two_region.h"
#include "tests/quantize/one_layer.h"

namespace mpq {
namespace {

std::vector<ScaledWeight> NormalWeights(size_t count, float deviation) {
  std::mt19937 random(3);
  std::normal_distribution<float> normal(0, deviation);
  std::vector<ScaledWeight> weights(count);
  for (ScaledWeight& w : weights) w.value = normal(random);
  return weights;
}

std::vector<int8_t> Uniform(int bits) {
  const Levels levels = UniformLevels(bits).value();
  return {levels.level.begin(), levels.level.begin() + levels.count};
}

bool IsLevelSet(std::span<const int8_t> levels) {
  return std::is_sorted(levels.begin(), levels.end(), std::less_equal<>()) &&
         std::count(levels.begin(), levels.end(), 0) == 1;
}

TEST_CASE("normal weights: the error of the best levels that have a 0") {
  // Lloyd's algorithm in real numbers finds 0.1367, 0.0365 and 0.0096 of the variance.
  struct Case {
    int bits;
    double error;
  };
  for (const Case& c : {Case{2, 0.1367}, {3, 0.0365}, {4, 0.0096}}) {
    CAPTURE(c.bits);
    const size_t count = 40000;
    // In steps that suit the levels to start from.
    const auto deviation = static_cast<float>(1 << c.bits) / 6;
    const LearnedLevels learned = LearnLevels(NormalWeights(count, deviation), Uniform(c.bits));
    CHECK(learned.levels.size() == size_t{1} << c.bits);
    CHECK(IsLevelSet(learned.levels));
    CHECK(learned.error / count < 1.06 * c.error * deviation * deviation);
    CHECK(std::max(-learned.levels.front(), +learned.levels.back()) <= 31);
  }
}

TEST_CASE("weights that cost more have levels nearer to them") {
  const int8_t start[] = {-1, 0, 1, 2};
  const auto distance = [&](float importance) {
    std::vector<ScaledWeight> weights = {{-1, importance}, {2.6f, importance}};
    for (int i = 0; i < 200; ++i) weights.push_back({0.01f * static_cast<float>(i), 1});
    const std::vector<int8_t> levels = LearnLevels(weights, start).levels;
    return std::abs(-2.6 - static_cast<double>(levels.back()) / levels.front());
  };
  CHECK(distance(1e4f) < 0.05);
  CHECK(distance(1e-4f) > 0.3);
}

TEST_CASE("weights without a spread keep the levels they start from") {
  const std::vector<int8_t> start = Uniform(3);
  CHECK(LearnLevels(std::vector<ScaledWeight>(10), start).levels == start);
  CHECK(LearnLevels({}, start).levels == start);
  CHECK(IsLevelSet(LearnLevels(std::vector<ScaledWeight>(10, {1, 1}), start).levels));
}

TEST_CASE("a layer never errs more than with two regions") {
  LayerInput layer(LaplaceLayer(96, 32));
  for (const int bits : {2, 3, 4, 5, 6}) {
    CAPTURE(bits);
    const Result<LayerDecision> two = DecideTwoRegionLayer(layer.Get(), 0, bits);
    const Result<LayerDecision> learned = DecideLearnedLayer(layer.Get(), 0, bits);
    REQUIRE(two.ok());
    REQUIRE(learned.ok());
    CHECK(SquaredError(layer, *learned) <= SquaredError(layer, *two));
  }
  const Result<LayerDecision> learned = DecideLearnedLayer(layer.Get(), 0, 2);
  CHECK(learned->level_set == LevelSetKind::kTable);
  CHECK(learned->tables.size() == 4);
}

TEST_CASE("widths beyond tables are uniform, rows of zeros have levels, too") {
  LayerInput layer(LaplaceLayer(8, 4));
  for (const int bits : {7, 8}) {
    CHECK(DecideLearnedLayer(layer.Get(), 0, bits).value().level_set == LevelSetKind::kUniform);
  }
  layer.graph.weights[0].values = std::vector<float>(32, 0.0f);
  for (const int bits : {2, 4}) {
    CHECK(SquaredError(layer, DecideLearnedLayer(layer.Get(), 0, bits).value()) == 0);
  }
}

}  // namespace
}  // namespace mpq
