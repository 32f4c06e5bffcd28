#include "quantize/histogram.h"

#include <doctest/doctest.h>

#include <cmath>
#include <limits>
#include <map>
#include <random>

namespace mpq {
namespace {

std::map<double, uint64_t> Bins(const Histogram& histogram) {
  std::map<double, uint64_t> bins;
  histogram.ForEachBin([&](double centre, uint64_t count) { bins[centre] = count; });
  return bins;
}

std::vector<float> WildValues(size_t count, uint64_t seed) {
  std::mt19937_64 random(seed);
  std::normal_distribution<float> normal;
  std::vector<float> values(count);
  for (size_t i = 0; i < count; ++i) {
    values[i] = i % 3 == 0 ? 0.0f : normal(random) * std::exp(3 * normal(random));
  }
  return values;
}

TEST_CASE("every value is in its bin, zeros are apart") {
  const std::vector<float> values = WildValues(5000, 1);
  Histogram histogram;
  REQUIRE(histogram.Add(values).ok());
  std::map<double, uint64_t> expected;
  uint64_t zeros = 0;
  const double width = histogram.bin_width();
  for (const float x : values) {
    if (x == 0) {
      ++zeros;
    } else {
      // Negative bins are closed at their lower end's other side; boundaries are measure 0 here.
      ++expected[(std::floor(x / width) + 0.5) * width];
    }
  }
  CHECK(histogram.num_zeros() == zeros);
  CHECK(histogram.num_values() == values.size());
  CHECK(Bins(histogram) == expected);
}

TEST_CASE("bins are fine enough and few enough") {
  Histogram histogram;
  REQUIRE(histogram.Add(std::vector<float>{1.0f, -3.0f, 0.125f}).ok());
  CHECK(3.0 / histogram.bin_width() >= Histogram::kBinsPerSide / 2);
  CHECK(3.0 / histogram.bin_width() <= Histogram::kBinsPerSide);
  CHECK(histogram.min() == -3.0f);
  CHECK(histogram.max() == 1.0f);
}

TEST_CASE("the result does not depend on how values are split or merged") {
  const std::vector<float> values = WildValues(4000, 2);
  Histogram whole;
  REQUIRE(whole.Add(values).ok());
  for (const size_t chunk : {1u, 7u, 1000u}) {
    Histogram forward;
    std::vector<Histogram> parts;
    for (size_t i = 0; i < values.size(); i += chunk) {
      const auto part = std::span(values).subspan(i, std::min(chunk, values.size() - i));
      REQUIRE(forward.Add(part).ok());
      REQUIRE(parts.emplace_back().Add(part).ok());
    }
    Histogram backward;
    for (auto part = parts.rbegin(); part != parts.rend(); ++part) backward.Merge(*part);
    for (const Histogram* other : {&forward, &backward}) {
      CHECK(Bins(*other) == Bins(whole));
      CHECK(other->num_zeros() == whole.num_zeros());
      CHECK(other->min() == whole.min());
      CHECK(other->max() == whole.max());
    }
  }
}

TEST_CASE("extreme and empty input") {
  Histogram histogram;
  CHECK(histogram.Add({}).ok());
  CHECK(histogram.empty());
  REQUIRE(histogram.Add(std::vector<float>(10, 0.0f)).ok());
  REQUIRE(histogram.Add(std::vector<float>{1e-44f, 3e38f, -3e38f}).ok());
  CHECK(histogram.num_values() == 13);
  const float nan = std::numeric_limits<float>::quiet_NaN();
  CHECK_FALSE(histogram.Add(std::vector<float>{1.0f, nan}).ok());
  CHECK_FALSE(histogram.Add(std::vector<float>{std::numeric_limits<float>::infinity()}).ok());
}

}  // namespace
}  // namespace mpq
