// Second-order rounding: moments against sums by hand, objectives that never rise, rounding against
// brute force.
#include <doctest/doctest.h>

#include <cmath>
#include <limits>
#include <random>

#include "quantize/nearest_level.h"
#include "quantize/rounding/closest_levels.h"
#include "quantize/rounding/input_moments.h"
#include "quantize/rounding/layers.h"
#include "quantize/rounding/rows.h"
#include "quantize/uniform.h"
#include "quantize/weight_range.h"
#include "tests/quantize/graph_builder.h"

namespace mpq {
namespace {

// Rows of weights whose inputs have a few common causes, as activations have.
struct Case {
  std::vector<float> weights, covariance;
  Levels levels;
  RowProblem problem;

  Case(uint32_t rows, uint32_t size, const Levels& set, uint64_t seed, bool correlated = true)
      : covariance(size_t{size} * size), levels(set) {
    std::mt19937_64 random(seed);
    std::normal_distribution<float> normal;
    for (uint32_t i = 0; i < rows * size; ++i) weights.push_back(normal(random));
    const uint32_t causes = correlated ? std::max(size / 2, 1u) : 0;
    for (uint32_t k = 0; k < causes; ++k) {
      std::vector<float> cause(size);
      for (float& x : cause) x = normal(random) + 0.5f;
      for (uint32_t i = 0; i < size * size; ++i) covariance[i] += cause[i / size] * cause[i % size];
    }
    for (uint32_t i = 0; i < size; ++i) covariance[size_t{i} * (size + 1)] += 0.3f + 0.01f * i;
    problem = {rows, size, weights, covariance, std::vector<const Levels*>(rows, &levels)};
  }
  Case(const Case&) = delete;

  RoundedRows Nearest(double scale) const {
    const NearestLevel nearest(levels);
    RoundedRows rounded{std::vector<double>(problem.rows, scale), weights};
    for (float& x : rounded.levels) x = nearest(x / static_cast<float>(scale));
    return rounded;
  }
};

TEST_CASE("second-order rounding is better than nearest, and no step makes it worse") {
  for (const int bits : {2, 3, 4}) {
    for (const uint32_t size : {1u, 9u, 40u, 150u}) {
      CAPTURE(bits);
      CAPTURE(size);
      const Case c(6, size, *UniformLevels(bits), 5 + size);
      const RowRounder rounder(c.problem);
      RoundedRows rounded = c.Nearest(2.0 / (1 << (bits - 1)));
      const double nearest = rounder.Error(rounded);
      rounded.levels = rounder.Gptq(rounded.scales);
      double error = rounder.Error(rounded);
      if (size >= 40) CHECK(error < 0.6 * nearest);
      for (int i = 0; i < 4; ++i) {
        rounder.RefitScales(rounded);
        const double refitted = rounder.Error(rounded);
        CHECK(refitted <= error * (1 + 1e-4));
        rounder.Descend(rounded);
        error = rounder.Error(rounded);
        CHECK(error <= refitted * (1 + 1e-4));
      }
    }
  }
}

TEST_CASE("descent from nearest levels never makes them worse, nor leaves the set") {
  const Case c(4, 300, *TwoRegionLevels(4, {2, 5, true}), 11);
  const RowRounder rounder(c.problem);
  RoundedRows rounded = c.Nearest(0.3);
  double error = rounder.Error(rounded);
  for (int i = 0; i < 3; ++i) {
    rounder.Descend(rounded);
    const double now = rounder.Error(rounded);
    CHECK(now <= error * (1 + 1e-4));
    error = now;
  }
  for (const float level : rounded.levels) {
    const uint8_t code = c.levels.NearestCode(level);
    CHECK(static_cast<float>(c.levels.level[code]) == level);
  }
}

TEST_CASE("inputs that are independent leave nothing to compensate") {
  const Case c(5, 30, *UniformLevels(3), 3, /*correlated=*/false);
  const RoundedRows nearest = c.Nearest(0.4);
  CHECK(RowRounder(c.problem).Gptq(nearest.scales) == nearest.levels);
}

TEST_CASE("small rows come within 20 % of the best of all roundings and scales") {
  for (uint64_t seed = 1; seed <= 20; ++seed) {
    const Case c(1, 5, *UniformLevels(2), seed);
    const RowRounder rounder(c.problem);
    std::vector<float> variances;
    for (uint32_t i = 0; i < 5; ++i) variances.push_back(c.covariance[i * 6]);
    const double start = ChooseWeightScale(c.weights, variances, c.levels);
    const std::vector<double> scales{start};
    const double found = rounder.Error(RoundRows(c.problem, scales, /*refit_scales=*/true));
    double best = std::numeric_limits<double>::infinity();
    for (uint32_t codes = 0; codes < (1u << 10); ++codes) {
      RoundedRows rounded{{start}, {}};
      for (uint32_t i = 0; i < 5; ++i)
        rounded.levels.push_back(c.levels.level[codes >> (2 * i) & 3]);
      rounder.RefitScales(rounded);
      best = std::min(best, rounder.Error(rounded));
    }
    CAPTURE(seed);
    CHECK(found <= 1.2 * best + 1e-9);
  }
}

TEST_CASE("short rows at a given scale: the search finds the best rounding") {
  for (uint64_t seed = 1; seed <= 20; ++seed) {
    CAPTURE(seed);
    const Case c(1, 5, *UniformLevels(2), seed);
    const RowRounder rounder(c.problem);
    RoundedRows found = c.Nearest(0.7);
    ClosestLevels(rounder.hessian(), 5)
        .Improve(c.weights, 0.7, c.levels, /*max_nodes=*/100000, found.levels);
    double best = std::numeric_limits<double>::infinity();
    for (uint32_t codes = 0; codes < (1u << 10); ++codes) {
      RoundedRows rounded{{0.7}, {}};
      for (uint32_t i = 0; i < 5; ++i)
        rounded.levels.push_back(c.levels.level[codes >> (2 * i) & 3]);
      best = std::min(best, rounder.Error(rounded));
    }
    CHECK(rounder.Error(found) == doctest::Approx(best).epsilon(1e-4));
    // Cut short, it is no worse than what it began with.
    RoundedRows hasty = c.Nearest(0.7);
    const double before = rounder.Error(hasty);
    ClosestLevels(rounder.hessian(), 5).Improve(c.weights, 0.7, c.levels, 3, hasty.levels);
    CHECK(rounder.Error(hasty) <= before * (1 + 1e-6));
  }
}

TEST_CASE("scales stay where they must") {
  const Case c(3, 20, *UniformLevels(4), 8);
  const std::vector<double> scales{0.25, 0.5, 0.125};
  CHECK(RoundRows(c.problem, scales, /*refit_scales=*/false).scales == scales);
}

// A network with every kind of convolution.
struct Network {
  Graph graph;
  Preprocessing preprocessing;
  CalibrationImages images;

  Network() {
    GraphBuilder builder(9, 8, 3);
    uint32_t x = builder.Relu(builder.Conv(builder.input(), 8, SquareWindow(3, 2, 1)));
    x = builder.Relu(builder.Depthwise(x, SquareWindow(3, 1, 1)));
    x = builder.Conv(x, 12, SquareWindow(3, 1, 1), /*groups=*/2);
    graph = builder.Finish(builder.Dense(x, 5));
    images = RandomImages(20, 9, 8, 7);
    for (float& s : preprocessing.std) s = 64;
  }
};

// visit(values of the tensor) for every image.
template <typename F>
void ForEachImage(const Network& net, uint32_t tensor, F visit) {
  auto executor = MakeRefFloatExecutor(net.graph, {.keep_tensors = true});
  REQUIRE(executor.ok());
  for (uint32_t i = 0; i < net.images.count; ++i) {
    std::vector<float> src(net.images.image_bytes());
    NormalizePixels(net.preprocessing, net.images.image(i), src);
    REQUIRE((*executor)->Run(src).ok());
    if (tensor == net.graph.input) {
      visit(std::span<const float>(src));
    } else {
      visit(*(*executor)->Read(tensor));
    }
  }
}

// The im2col column of output position (y, x), channels [first, first + count) of the source.
std::vector<double> Patch(const Tensor& src, const Window& window, std::span<const float> values,
                          int64_t y, int64_t x, uint32_t first, uint32_t count) {
  std::vector<double> patch;
  for (uint32_t kh = 0; kh < window.kernel_h; ++kh) {
    for (uint32_t kw = 0; kw < window.kernel_w; ++kw) {
      const int64_t src_y = y * window.stride_h + kh - window.pad_top;
      const int64_t src_x = x * window.stride_w + kw - window.pad_left;
      const bool in = src_y >= 0 && src_y < src.height && src_x >= 0 && src_x < src.width;
      for (uint32_t c = first; c < first + count; ++c) {
        const int64_t at = (src_y * src.width + src_x) * src.channels + c;
        patch.push_back(in ? values[static_cast<size_t>(at)] : 0.0);
      }
    }
  }
  return patch;
}

TEST_CASE("with matched variances outputs vary as those of the weights") {
  const Case c(6, 40, *UniformLevels(2), 9);
  const RowRounder rounder(c.problem);
  RoundedRows rounded = c.Nearest(0.5);
  rounder.RefitScales(rounded);
  std::fill_n(rounded.levels.begin() + 40, 40, 0.0f);  // row 1 does not vary
  std::vector<double> scales = rounded.scales;
  MatchVariances(c.covariance, c.weights, rounded.levels, scales);
  const auto variance = [&](const std::vector<float>& values, uint32_t row, double scale) {
    double sum = 0;
    for (size_t i = 0; i < 40; ++i) {
      for (size_t j = 0; j < 40; ++j) {
        sum +=
            scale * scale * values[row * 40 + i] * c.covariance[i * 40 + j] * values[row * 40 + j];
      }
    }
    return sum;
  };
  for (const uint32_t row : {0u, 2u, 3u, 4u, 5u}) {
    CHECK(scales[row] > rounded.scales[row]);
    CHECK(variance(rounded.levels, row, scales[row]) ==
          doctest::Approx(variance(c.weights, row, 1)).epsilon(1e-4));
  }
  CHECK(scales[1] == rounded.scales[1]);
}

TEST_CASE("moments are the covariance of im2col columns") {
  const Network net;
  const Result<std::vector<InputMoments>> moments = MeasureInputMoments(
      net.graph, net.preprocessing, net.images, Equalization(), 1, 2, Progress());
  REQUIRE(moments.ok());
  for (uint32_t n = 0; n < net.graph.nodes.size(); ++n) {
    const Node& node = net.graph.nodes[n];
    const InputMoments& m = (*moments)[n];
    if (node.weights == kNone) {
      CHECK(m.groups == 0);
      continue;
    }
    CAPTURE(node.name);
    const Tensor& src = net.graph.tensors[node.inputs[0]];
    const Tensor& dst = net.graph.tensors[node.output];
    const uint32_t group_channels = src.channels / m.groups;
    REQUIRE(m.size == node.window.kernel_h * node.window.kernel_w * group_channels);
    const uint32_t group = m.groups - 1;
    // The variance of every input of the last group and its covariance with the first, by hand.
    std::vector<double> sum(m.size), square(m.size), with_first(m.size);
    double count = 0;
    ForEachImage(net, node.inputs[0], [&](std::span<const float> values) {
      for (uint32_t p = 0; p < dst.height * dst.width; ++p, ++count) {
        const std::vector<double> patch =
            Patch(src, node.window, values, p / dst.width, p % dst.width, group * group_channels,
                  group_channels);
        for (uint32_t i = 0; i < m.size; ++i) {
          sum[i] += patch[i];
          square[i] += patch[i] * patch[i];
          with_first[i] += patch[i] * patch[0];
        }
      }
    });
    for (uint32_t i = 0; i < m.size; ++i) {
      const double variance = square[i] / count - sum[i] / count * (sum[i] / count);
      const double covariance = with_first[i] / count - sum[i] / count * (sum[0] / count);
      CHECK(m.group(group)[size_t{i} * (m.size + 1)] == doctest::Approx(variance).epsilon(1e-3));
      CHECK(m.group(group)[i] == doctest::Approx(covariance).epsilon(1e-3).scale(1.0));
      CHECK(m.group(group)[i] == m.group(group)[size_t{i} * m.size]);
    }
  }
}

TEST_CASE("moments and rounding do not depend on the number of threads") {
  const Network net;
  std::vector<LayerDecision> first;
  for (const uint32_t threads : {1u, 3u}) {
    const Result<std::vector<InputMoments>> moments = MeasureInputMoments(
        net.graph, net.preprocessing, net.images, Equalization(), 1, threads, Progress());
    REQUIRE(moments.ok());
    BitWidths widths;
    widths.weights = 3;
    Result<std::vector<LayerDecision>> layers = MakeUniformMethod()->Decide(
        {net.graph, Equalization(), nullptr, *moments, widths, 1, threads, Progress()});
    REQUIRE(layers.ok());
    REQUIRE(RoundLayers(net.graph, Equalization(), *moments, threads, Progress(), *layers).ok());
    if (first.empty()) {
      first = *layers;
      continue;
    }
    for (size_t n = 0; n < first.size(); ++n) {
      CHECK(first[n].codes == (*layers)[n].codes);
      CHECK(first[n].scales == (*layers)[n].scales);
    }
  }
}

}  // namespace
}  // namespace mpq
