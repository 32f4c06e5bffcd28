// Range searches against brute force.
#include <doctest/doctest.h>

#include <cmath>
#include <limits>
#include <random>

#include "quantize/activation_range.h"
#include "quantize/weight_range.h"

namespace mpq {
namespace {

Histogram MakeHistogram(bool relu, double tail, uint64_t seed) {
  std::mt19937_64 random(seed);
  std::normal_distribution<float> normal;
  std::vector<float> values(20000);
  for (float& x : values) {
    x = normal(random) + 0.3f;
    if (x > 2) x *= static_cast<float>(tail);
    if (relu) x = std::max(x, 0.0f);
  }
  Histogram histogram;
  REQUIRE(histogram.Add(values).ok());
  return histogram;
}

// The least error over a fine grid of scales and all zero points.
double BruteForceError(const Histogram& histogram, int bits) {
  double least = std::numeric_limits<double>::infinity();
  const double span = histogram.max() - std::min(0.0f, histogram.min());
  const int top = (1 << bits) - 1;
  const bool is_unsigned = histogram.min() >= 0;
  const int zero_step = std::max(1, top / 64);
  for (double f = 1.0; f > 0.04; f *= 0.98) {
    ActivationRange range;
    range.scale = static_cast<float>(span * f / top);
    for (int zp = 0; zp <= (is_unsigned ? 0 : top); zp += zero_step) {
      range.zero_point = zp;
      least = std::min(least, QuantizationError(histogram, range, bits));
    }
  }
  return least;
}

TEST_CASE("activation ranges of least squared error match brute force") {
  for (const bool relu : {false, true}) {
    for (const double tail : {1.0, 3.0}) {
      for (const int bits : {2, 3, 4, 8}) {
        CAPTURE(relu);
        CAPTURE(tail);
        CAPTURE(bits);
        const Histogram histogram = MakeHistogram(relu, tail, 7);
        const ActivationRange range = ChooseRange(histogram, bits, RangeMethod::kSquaredError);
        const double error = QuantizationError(histogram, range, bits);
        CHECK(error <= 1.05 * BruteForceError(histogram, bits));
        if (relu) CHECK(range.zero_point == 0);
        CHECK(error <= QuantizationError(histogram,
                                         ChooseRange(histogram, bits, RangeMethod::kMinMax), bits));
      }
    }
  }
}

TEST_CASE("the min-max range clips nothing, the percentile range little") {
  const Histogram histogram = MakeHistogram(false, 3.0, 3);
  const ActivationRange full = ChooseRange(histogram, 8, RangeMethod::kMinMax);
  CHECK(full.scale * (255 - full.zero_point) >= histogram.max() - full.scale);
  CHECK(full.scale * -full.zero_point <= histogram.min() + full.scale);
  const ActivationRange inner = ChooseRange(histogram, 8, RangeMethod::kPercentile);
  CHECK(inner.scale < full.scale);
}

TEST_CASE("degenerate tensors have a range") {
  for (const RangeMethod method :
       {RangeMethod::kMinMax, RangeMethod::kPercentile, RangeMethod::kSquaredError}) {
    Histogram zeros;
    REQUIRE(zeros.Add(std::vector<float>(5, 0.0f)).ok());
    CHECK(ChooseRange(zeros, 8, method).scale > 0);
    CHECK(ChooseRange(Histogram(), 8, method).scale > 0);
    Histogram negative;
    REQUIRE(negative.Add(std::vector<float>(5, -2.0f)).ok());
    const ActivationRange range = ChooseRange(negative, 8, method);
    CHECK(range.zero_point == 255);
    CHECK(range.scale == doctest::Approx(2.0 / 255).epsilon(0.02));
  }
}

Levels MakeLevels(int index) {
  const int8_t ternary_wide[] = {-7, -2, 0, 3};
  switch (index) {
    case 0:
      return *UniformLevels(2);
    case 1:
      return *UniformLevels(3);
    case 2:
      return *UniformLevels(4);
    case 3:
      return *UniformLevels(8);
    case 4:
      return *TwoRegionLevels(4, {.step = 2, .dense = 5, .spare_negative = true});
    default:
      return *TableLevels(2, ternary_wide);
  }
}

TEST_CASE("weight scales are nearly as good as the best of a very fine grid") {
  std::mt19937_64 random(5);
  std::normal_distribution<float> normal;
  for (int set = 0; set < 6; ++set) {
    const Levels levels = MakeLevels(set);
    for (const size_t count : {3u, 9u, 64u, 500u}) {
      std::vector<float> weights(count);
      std::vector<float> importance(count);
      for (size_t i = 0; i < count; ++i) {
        weights[i] = 0.1f * normal(random) * (i % 10 == 0 ? 2.5f : 1.0f);
        importance[i] = std::abs(normal(random)) + 0.1f;
      }
      for (const bool weighted : {false, true}) {
        CAPTURE(set);
        CAPTURE(count);
        const std::span<const float> h =
            weighted ? std::span<const float>(importance) : std::span<const float>();
        const double scale = ChooseWeightScale(weights, h, levels);
        double least = std::numeric_limits<double>::infinity();
        for (double s = 0.0002; s < 1.0; s *= 1.002) {
          least = std::min(least, WeightError(weights, h, levels, s));
        }
        CHECK(WeightError(weights, h, levels, scale) <= 1.1 * least + 1e-9);
      }
    }
  }
}

TEST_CASE("codes are the nearest levels, whatever the level set") {
  std::mt19937_64 random(6);
  std::normal_distribution<float> normal;
  for (int set = 0; set < 6; ++set) {
    const Levels levels = MakeLevels(set);
    std::vector<float> weights(1000);
    for (float& w : weights) w = 3 * normal(random);
    std::vector<uint8_t> codes(weights.size());
    EncodeWeights(weights, levels, 0.5, codes);
    for (size_t i = 0; i < weights.size(); ++i) {
      CHECK(codes[i] == levels.NearestCode(weights[i] * 2));
    }
  }
}

TEST_CASE("channels of zeros have scale 0 and code of level 0") {
  const std::vector<float> weights(5, 0.0f);
  const Levels levels = MakeLevels(2);
  CHECK(ChooseWeightScale(weights, {}, levels) == 0);
  std::vector<uint8_t> codes(5);
  EncodeWeights(weights, levels, 0, codes);
  for (const uint8_t code : codes) CHECK(code == levels.zero_code());
}

// 1 / scale was infinite, 0 times that no number, and its level an index far outside a table.
TEST_CASE("channels of weights near the smallest floats count as zeros") {
  for (const float tiny : {1e-45f, 1e-38f, 1e-31f}) {
    const std::vector<float> weights = {tiny, 0.0f, -tiny, 2 * tiny};
    for (int set = 0; set < 6; ++set) {
      const Levels levels = MakeLevels(set);
      const double scale = ChooseWeightScale(weights, {}, levels);
      CHECK(scale == 0);
      std::vector<uint8_t> codes(weights.size());
      EncodeWeights(weights, levels, scale, codes);
      for (const uint8_t code : codes) CHECK(code == levels.zero_code());
    }
  }
}

}  // namespace
}  // namespace mpq
