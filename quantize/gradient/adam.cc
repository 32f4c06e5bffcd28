#include "quantize/gradient/adam.h"

#include <cmath>

namespace mpq {

namespace {

constexpr float kBeta1 = 0.9f;
constexpr float kBeta2 = 0.999f;
constexpr float kEpsilon = 1e-12f;

}  // namespace

void Adam::Step(uint32_t t, float rate, std::span<const float> gradient,
                std::span<float> parameters) {
  const auto step = static_cast<float>(rate / (1 - std::pow(double{kBeta1}, t)));
  const auto correction = static_cast<float>(1 / (1 - std::pow(double{kBeta2}, t)));
  for (size_t i = 0; i < parameters.size(); ++i) {
    const float g = gradient[i];
    mean_[i] = kBeta1 * mean_[i] + (1 - kBeta1) * g;
    square_[i] = kBeta2 * square_[i] + (1 - kBeta2) * g * g;
    parameters[i] -= step * mean_[i] / (std::sqrt(square_[i] * correction) + kEpsilon);
  }
}

}  // namespace mpq
