#include "quantize/weight_range.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "quantize/nearest_level.h"

namespace mpq {

namespace {

// For the nearest levels q at `scale`: the error, the scale that fits these q best, and the error
// there (an upper bound: weights may then have nearer levels).
struct Fit {
  double error = 0;
  double best_scale = 0;
  double best_error = 0;
};

Fit FitScale(std::span<const float> weights, std::span<const float> importance,
             const NearestLevel& nearest, double scale) {
  const float inverse = static_cast<float>(1.0 / scale);
  double error = 0;
  double wq = 0;
  double qq = 0;
  for (size_t i = 0; i < weights.size(); ++i) {
    const double q = nearest(weights[i] * inverse);
    const double h = importance.empty() ? 1.0 : importance[i];
    const double difference = weights[i] - scale * q;
    error += h * difference * difference;
    wq += h * weights[i] * q;
    qq += h * q * q;
  }
  if (!(qq > 0 && wq > 0)) return {error, scale, error};
  // error(s) = const - 2 s wq + s^2 qq is least at wq / qq.
  const double best = wq / qq;
  return {error, best, error - qq * (scale - best) * (scale - best)};
}

// Channels whose weights call for less are nothing, as channels without weights are: training
// leaves some near the smallest floats, where 1 / scale is infinite.
constexpr double kLeastScale = 1e-30;

// The grid of scales, as multiples of the full range's. Rows of few weights (depthwise taps) have
// jagged errors, where even a larger scale may fit by luck, and cost little: a finer, wider grid.
struct Grid {
  double most, least;
  int steps;
};
Grid MakeGrid(size_t num_weights, uint32_t num_levels, bool coarse) {
  // Few levels clip more: 8 bits end at 0.7 of the range, 4 and fewer at 0.2.
  const double least = std::clamp(0.2 + 0.125 * (std::log2(num_levels) - 4), 0.2, 0.7);
  return num_weights <= 64 ? Grid{2.0, least, coarse ? 150 : 1500} : Grid{1.1, least, 40};
}

}  // namespace

double WeightError(std::span<const float> weights, std::span<const float> importance,
                   const Levels& levels, double scale) {
  return FitScale(weights, importance, NearestLevel(levels), scale).error;
}

double ChooseWeightScale(std::span<const float> weights, std::span<const float> importance,
                         const Levels& levels, bool coarse) {
  double full = 0;  // the scale at which nothing is clipped
  const double lo = levels.level[0];
  const double hi = levels.level[levels.count - 1];
  for (const float w : weights) {
    // A side without levels cannot hold anything: it does not set the range.
    if (w > 0 && hi > 0) full = std::max(full, w / hi);
    if (w < 0 && lo < 0) full = std::max(full, w / lo);
  }
  if (full < kLeastScale) return 0;
  const NearestLevel nearest(levels);
  const Grid grid = MakeGrid(weights.size(), levels.count, coarse);
  Fit best{0, full, std::numeric_limits<double>::infinity()};
  const auto consider = [&](double scale) {
    const Fit fit = FitScale(weights, importance, nearest, scale);
    if (fit.best_error >= best.best_error) return false;
    best = fit;
    return true;
  };
  for (int step = 0; step <= grid.steps; ++step) {
    consider(full * (grid.most + (grid.least - grid.most) * step / grid.steps));
  }
  constexpr int kMaxRefits = 8;
  for (int i = 0; i < kMaxRefits; ++i) {
    if (!consider(best.best_scale)) break;
  }
  return best.best_scale;
}

void EncodeWeights(std::span<const float> weights, const Levels& levels, double scale,
                   std::span<uint8_t> codes) {
  const NearestLevel nearest(levels);
  const CodeOfLevel code(levels);
  const float inverse = scale > 0 ? static_cast<float>(1.0 / scale) : 0.0f;
  for (size_t i = 0; i < weights.size(); ++i) {
    codes[i] = code(nearest(weights[i] * inverse));
  }
}

}  // namespace mpq
