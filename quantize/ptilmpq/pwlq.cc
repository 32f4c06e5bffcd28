#include "quantize/ptilmpq/pwlq.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace mpq {

namespace {

double NormalDensity(double x) { return std::exp(-x * x / 2) / std::sqrt(2 * std::numbers::pi); }
double NormalDistribution(double x) { return 0.5 * (1 + std::erf(x / std::numbers::sqrt2)); }

}  // namespace

double GaussianBreakpoint(double m) { return std::log(0.86143114 * m + 0.60790110); }

double LaplaceBreakpoint(double m) { return 0.80304483 * std::sqrt(m) - 0.31667855; }

double ExactGaussianBreakpoint(double m) {
  double lo = 0;
  double hi = m / 2;
  for (int i = 0; i < 100; ++i) {
    const double p = (lo + hi) / 2;
    const double slope =
        p - 2 * m + 2 * m * NormalDistribution(p) + m * (2 * p - m) * NormalDensity(p);
    (slope < 0 ? lo : hi) = p;
  }
  return (lo + hi) / 2;
}

double GaussianPwlqError(double m, double p, int bits) {
  const double steps = std::exp2(bits - 1) - 1;
  const double inside = 2 * NormalDistribution(p) - 1;
  return ((m - p) * (m - p) + m * (2 * p - m) * inside) / (12 * steps * steps);
}

std::vector<double> PwlqLevels(double m, double p, int bits) {
  const int steps = (1 << (bits - 1)) - 1;
  std::vector<double> levels = {0};
  const auto add = [&](double level) {
    levels.push_back(level);
    levels.push_back(-level);
  };
  for (int i = 1; i <= steps; ++i) add(p * i / steps);
  for (int j = 1; j <= steps; ++j) add(p + (m - p) * j / steps);
  std::sort(levels.begin(), levels.end());
  return levels;
}

std::vector<float> QuantizePwlq(std::span<const float> weights, int bits) {
  double largest = 0;
  double sum = 0;
  double squares = 0;
  for (const float w : weights) {
    largest = std::max(largest, std::abs(double{w}));
    sum += w;
    squares += double{w} * w;
  }
  const auto count = static_cast<double>(weights.size());
  const double deviation = std::sqrt(std::max(squares / count - sum * sum / (count * count), 0.0));
  std::vector<float> quantized(weights.begin(), weights.end());
  if (deviation == 0) return quantized;
  const double p = std::min(GaussianBreakpoint(largest / deviation) * deviation, largest);
  const std::vector<double> levels = PwlqLevels(largest, p, bits);
  for (float& w : quantized) {
    w = static_cast<float>(*std::min_element(levels.begin(), levels.end(), [&](double a, double b) {
      return std::abs(a - w) < std::abs(b - w);
    }));
  }
  return quantized;
}

}  // namespace mpq
