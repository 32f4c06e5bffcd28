#include "quantize/activation_range.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace mpq {

namespace {

// The codes that represent [lo, hi], lo <= 0 <= hi, with 0 exact.
ActivationRange FromInterval(double lo, double hi, int bits) {
  const double top = (1 << bits) - 1;
  ActivationRange range;
  if (!(hi - lo > 0)) return range;
  // A float scale that is too small would make the engine divide by nearly nothing.
  range.scale = std::max(static_cast<float>((hi - lo) / top), 1e-20f);
  range.zero_point = static_cast<int32_t>(std::clamp(std::round(-lo / range.scale), 0.0, top));
  return range;
}

// The value below which `fraction` of all values lie.
double Quantile(const Histogram& histogram, double fraction) {
  const double wanted = fraction * static_cast<double>(histogram.num_values());
  double below = 0;
  double value = histogram.min();
  bool zeros_passed = false;
  histogram.ForEachBin([&](double centre, uint64_t count) {
    if (below >= wanted) return;
    if (centre > 0 && !zeros_passed) {
      below += static_cast<double>(histogram.num_zeros());
      zeros_passed = true;
      value = 0;
      if (below >= wanted) return;
    }
    below += static_cast<double>(count);
    value = centre;
  });
  return value;
}

struct Interval {
  double lo = 0, hi = 0;
  double error = std::numeric_limits<double>::infinity();
};

// Tries `steps` + 1 shrink factors from `from` down to `to` on either side.
void SearchGrid(const Histogram& histogram, int bits, double lo_from, double lo_to, double hi_from,
                double hi_to, int lo_steps, int hi_steps, Interval& best) {
  for (int i = 0; i <= lo_steps; ++i) {
    const double lo = lo_steps == 0 ? lo_from : lo_from + (lo_to - lo_from) * i / lo_steps;
    for (int j = 0; j <= hi_steps; ++j) {
      const double hi = hi_steps == 0 ? hi_from : hi_from + (hi_to - hi_from) * j / hi_steps;
      const double error = QuantizationError(histogram, FromInterval(lo, hi, bits), bits);
      if (error < best.error) best = {lo, hi, error};
    }
  }
}

// Coarse to fine. One-sided distributions keep the other end at 0.
ActivationRange LeastSquaredError(const Histogram& histogram, int bits) {
  const double min = std::min(0.0f, histogram.min());
  const double max = std::max(0.0f, histogram.max());
  constexpr double kLeast = 0.05;
  constexpr int kCoarseSteps = 19;
  constexpr int kFineSteps = 10;
  const int lo_steps = min < 0 ? 1 : 0;
  const int hi_steps = max > 0 ? 1 : 0;
  Interval best;
  SearchGrid(histogram, bits, min, kLeast * min, max, kLeast * max, lo_steps * kCoarseSteps,
             hi_steps * kCoarseSteps, best);
  for (const double reach : {0.05, 0.01}) {
    const Interval centre = best;
    const auto grow = [&](double x, double limit) {
      return std::abs(x) + reach * std::abs(limit) > std::abs(limit) ? limit : x + reach * limit;
    };
    const auto shrink = [&](double x, double limit) {
      return std::max(std::abs(x) - reach * std::abs(limit), 0.0) * (limit < 0 ? -1 : 1);
    };
    SearchGrid(histogram, bits, grow(centre.lo, min), shrink(centre.lo, min), grow(centre.hi, max),
               shrink(centre.hi, max), lo_steps * kFineSteps, hi_steps * kFineSteps, best);
  }
  return FromInterval(best.lo, best.hi, bits);
}

}  // namespace

const char* RangeMethodName(RangeMethod method) {
  switch (method) {
    case RangeMethod::kMinMax:
      return "minmax";
    case RangeMethod::kPercentile:
      return "percentile";
    case RangeMethod::kSquaredError:
      return "mse";
  }
  return "unknown";
}

double QuantizationError(const Histogram& histogram, const ActivationRange& range, int bits) {
  const double inverse = 1.0 / range.scale;
  const double lo = -range.zero_point;
  const double hi = (1 << bits) - 1 - range.zero_point;
  double error = 0;
  histogram.ForEachBin([&](double centre, uint64_t count) {
    const double steps = std::clamp(std::nearbyint(centre * inverse), lo, hi);
    const double difference = centre - steps * range.scale;
    error += static_cast<double>(count) * difference * difference;
  });
  return histogram.empty() ? 0 : error / static_cast<double>(histogram.num_values());
}

ActivationRange ChooseRange(const Histogram& histogram, int bits, RangeMethod method) {
  double lo = std::min(0.0f, histogram.min());
  double hi = std::max(0.0f, histogram.max());
  switch (method) {
    case RangeMethod::kMinMax:
      break;
    case RangeMethod::kPercentile:
      if (lo < 0) lo = std::min(0.0, Quantile(histogram, 1 - kPercentileKept));
      if (hi > 0) hi = std::max(0.0, Quantile(histogram, kPercentileKept));
      break;
    case RangeMethod::kSquaredError:
      if (lo < hi) return LeastSquaredError(histogram, bits);
      break;
  }
  return FromInterval(lo, hi, bits);
}

}  // namespace mpq
