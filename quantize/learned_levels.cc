#include "quantize/learned_levels.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <utility>

#include "quantize/two_region.h"
#include "quantize/weight_rows.h"

namespace mpq {

namespace {

// Weights of a layer that its levels are learned from, about.
constexpr size_t kLearnedWeights = 1 << 17;
constexpr int kLloydRounds = 60;
// Levels, then the channels' scales for these, in turns.
constexpr int kTurns = 2;

// How far levels may reach: a wider grid is closer to what was learned, but products of larger
// levels fill the 16 bits that kernels without VNNI sum pairs in (engine/kernels/conv_gemm_lanes).
int MaxReach(int bits) { return bits <= 4 ? 31 : 127; }

// Sums of importance h, h x and h x^2 over ranges of ascending weights x.
class WeightSums {
 public:
  struct Range {
    double h = 0, hx = 0, hxx = 0;
  };

  explicit WeightSums(std::vector<ScaledWeight> weights) : weights_(std::move(weights)) {
    std::sort(weights_.begin(), weights_.end(), [](const ScaledWeight& a, const ScaledWeight& b) {
      return a.value < b.value || (a.value == b.value && a.importance < b.importance);
    });
    sums_.resize(weights_.size() + 1);
    for (size_t i = 0; i < weights_.size(); ++i) {
      const double x = weights_[i].value;
      const double h = weights_[i].importance;
      sums_[i + 1] = {sums_[i].h + h, sums_[i].hx + h * x, sums_[i].hxx + h * x * x};
    }
  }

  // The weights nearest to each of some ascending levels.
  std::vector<Range> Cells(std::span<const double> levels) const {
    std::vector<Range> cells;
    size_t begin = 0;
    for (size_t i = 0; i < levels.size(); ++i) {
      const size_t end =
          i + 1 == levels.size() ? weights_.size() : FirstAbove((levels[i] + levels[i + 1]) / 2);
      cells.push_back({sums_[end].h - sums_[begin].h, sums_[end].hx - sums_[begin].hx,
                       sums_[end].hxx - sums_[begin].hxx});
      begin = end;
    }
    return cells;
  }

 private:
  size_t FirstAbove(double limit) const {
    const auto found =
        std::upper_bound(weights_.begin(), weights_.end(), limit,
                         [](double value, const ScaledWeight& w) { return value < w.value; });
    return static_cast<size_t>(found - weights_.begin());
  }

  std::vector<ScaledWeight> weights_;
  std::vector<Range> sums_;
};

// Lloyd's algorithm; the level 0 stays. A mean lies in its cell, so levels stay in order.
std::vector<double> RealLevels(const WeightSums& weights, std::span<const int8_t> start) {
  std::vector<double> levels(start.begin(), start.end());
  for (int round = 0; round < kLloydRounds; ++round) {
    const std::vector<WeightSums::Range> cells = weights.Cells(levels);
    for (size_t i = 0; i < levels.size(); ++i) {
      if (start[i] != 0 && cells[i].h > 0) levels[i] = cells[i].hx / cells[i].h;
    }
  }
  return levels;
}

// The error of `levels` times the scale that fits them best, from `scale` on.
double ErrorOf(const WeightSums& weights, std::span<const int8_t> levels, double scale) {
  constexpr int kRefits = 4;
  std::vector<double> scaled(levels.size());
  double error = 0;
  for (int refit = 0; refit <= kRefits; ++refit) {
    for (size_t i = 0; i < levels.size(); ++i) scaled[i] = scale * levels[i];
    const std::vector<WeightSums::Range> cells = weights.Cells(scaled);
    double xl = 0;
    double ll = 0;
    error = 0;
    for (size_t i = 0; i < levels.size(); ++i) {
      error += cells[i].hxx - 2 * scaled[i] * cells[i].hx + scaled[i] * scaled[i] * cells[i].h;
      xl += cells[i].hx * levels[i];
      ll += cells[i].h * levels[i] * levels[i];
    }
    if (!(xl > 0 && ll > 0)) break;
    scale = xl / ll;
  }
  return error;
}

std::vector<int8_t> Integers(std::span<const double> levels, double step) {
  std::vector<int8_t> integers;
  for (const double level : levels) {
    integers.push_back(static_cast<int8_t>(std::lround(level / step)));
  }
  return integers;
}

// sum(importance * (w - w_q)^2) of a layer.
Result<double> LayerError(const MethodInput& input, uint32_t node, const WeightRows& rows,
                          const LayerDecision& layer) {
  MPQ_ASSIGN_OR_RETURN(const std::vector<int8_t> levels,
                       LayerLevels(input.graph, input.graph.nodes[node], layer));
  double error = 0;
  for (uint32_t c = 0; c < rows.count(); ++c) {
    const std::span<const float> importance = rows.importance(c);
    for (size_t i = 0; i < rows.row_values; ++i) {
      const double d = rows.row(c)[i] - layer.scales[c] * levels[c * rows.row_values + i];
      error += d * d * (importance.empty() ? 1.0 : importance[i]);
    }
  }
  return error;
}

std::vector<ScaledWeight> Sample(const WeightRows& rows, std::span<const double> scales) {
  std::vector<ScaledWeight> sample;
  const size_t stride = (rows.values.size() + kLearnedWeights - 1) / kLearnedWeights;
  for (size_t i = 0; i < rows.values.size(); i += stride) {
    const auto channel = static_cast<uint32_t>(i / rows.row_values);
    const auto scale = static_cast<float>(scales[channel]);
    const std::span<const float> importance = rows.importance(channel);
    const float h = importance.empty() ? 1.0f : importance[i % rows.row_values];
    sample.push_back({rows.values[i] / scale, h * scale * scale});
  }
  return sample;
}

Result<LayerDecision> WithTable(const MethodInput& input, uint32_t node, int bits,
                                const WeightRows& rows, std::span<const int8_t> table) {
  LayerDecision layer = EmptyDecision(input, node, bits);
  layer.level_set = LevelSetKind::kTable;
  layer.tables.assign(table.begin(), table.end());
  MPQ_ASSIGN_OR_RETURN(const Levels levels, TableLevels(bits, table));
  for (uint32_t c = 0; c < rows.count(); ++c) EncodeRow(rows, c, levels, layer);
  return layer;
}

std::vector<int8_t> Mirrored(std::span<const int8_t> levels) {
  std::vector<int8_t> mirrored;
  for (auto level = levels.rbegin(); level != levels.rend(); ++level) {
    mirrored.push_back(static_cast<int8_t>(-*level));
  }
  return mirrored;
}

}  // namespace

LearnedLevels LearnLevels(std::vector<ScaledWeight> weights, std::span<const int8_t> start) {
  const WeightSums sums(std::move(weights));
  const std::vector<double> learned = RealLevels(sums, start);
  const double reach = std::max(-learned.front(), learned.back());
  LearnedLevels best{{start.begin(), start.end()}, ErrorOf(sums, start, 1)};
  const int bits = std::bit_width(start.size()) - 1;
  for (int top = static_cast<int>(start.size() / 2); top <= MaxReach(bits) && reach > 0; ++top) {
    std::vector<int8_t> integers = Integers(learned, reach / top);
    if (!TableLevels(bits, integers).ok()) continue;
    const double error = ErrorOf(sums, integers, reach / top);
    if (error < best.error) best = {std::move(integers), error};
  }
  return best;
}

Result<LayerDecision> DecideLearnedLayer(const MethodInput& input, uint32_t node, int bits) {
  MPQ_ASSIGN_OR_RETURN(const LayerDecision two_region, DecideTwoRegionLayer(input, node, bits));
  if (bits < 2 || bits > kMaxTableBits) return two_region;
  const WeightRows rows(input, node);
  LayerDecision best = two_region;
  MPQ_ASSIGN_OR_RETURN(double least, LayerError(input, node, rows, best));
  MPQ_ASSIGN_OR_RETURN(const Levels first, BlockLevels(Description(two_region), 0));
  const std::span<const int8_t> levels(first.level.data(), first.count);
  // With 2^bits levels, one side of 0 has one more.
  const std::vector<ScaledWeight> sample = Sample(rows, two_region.scales);
  LearnedLevels learned = LearnLevels(sample, levels);
  LearnedLevels mirrored = LearnLevels(sample, Mirrored(levels));
  if (mirrored.error < learned.error) learned = std::move(mirrored);
  for (int turn = 1; turn <= kTurns; ++turn) {
    MPQ_ASSIGN_OR_RETURN(LayerDecision layer, WithTable(input, node, bits, rows, learned.levels));
    MPQ_ASSIGN_OR_RETURN(const double error, LayerError(input, node, rows, layer));
    if (turn < kTurns) learned = LearnLevels(Sample(rows, layer.scales), learned.levels);
    if (error >= least) continue;
    least = error;
    best = std::move(layer);
  }
  return best;
}

std::unique_ptr<Method> MakeLearnedLevelsMethod() {
  return MakeLayerwiseMethod("learned", DecideLearnedLayer);
}

}  // namespace mpq
