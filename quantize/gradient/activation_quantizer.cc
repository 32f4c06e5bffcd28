#include "quantize/gradient/activation_quantizer.h"

#include <algorithm>
#include <cmath>

namespace mpq {

namespace {

// Adding and taking away 1.5 * 2^23 leaves |x| < 2^22 rounded to the nearest integer.
constexpr float kRound = 12582912.0f;

}  // namespace

ActivationQuantizer::ActivationQuantizer(const Node& node, const TensorCodes& codes)
    : scale_(codes.scale), lo_(node.clip_lo), hi_(node.clip_hi) {
  if (scale_ == 0) return;
  inverse_ = 1 / scale_;
  const auto zero_point = static_cast<float>(codes.zero_point);
  const float top = static_cast<float>((1 << codes.bits) - 1) - zero_point;
  const auto step = [&](float bound, float none) {
    return std::isinf(bound) ? none : std::clamp(std::round(bound / scale_), -zero_point, top);
  };
  lowest_ = step(lo_, -zero_point);
  highest_ = step(hi_, top);
  lo_ = std::max(lo_, -zero_point * scale_);
  hi_ = std::min(hi_, top * scale_);
}

void ActivationQuantizer::Round(std::span<float> values) const {
  // Members in registers: the compiler cannot know that values do not alias them.
  const float scale = scale_;
  const float inverse = inverse_;
  const float lo = scale == 0 ? lo_ : lowest_;
  const float hi = scale == 0 ? hi_ : highest_;
  if (scale == 0) {
    for (float& y : values) y = std::min(std::max(y, lo), hi);
    return;
  }
  for (float& y : values) {
    const float bounded = std::min(std::max(y * inverse, lo), hi);
    y = scale * ((bounded + kRound) - kRound);
  }
}

void ActivationQuantizer::Forward(std::span<float> values, std::span<uint8_t> passes) const {
  const float lo = lo_;
  const float hi = hi_;
  for (size_t i = 0; i < values.size(); ++i) {
    passes[i] = static_cast<uint8_t>(values[i] == std::min(std::max(values[i], lo), hi));
  }
  Round(values);
}

void ActivationQuantizer::Backward(std::span<const uint8_t> passes, std::span<float> gradient) {
  for (size_t i = 0; i < gradient.size(); ++i) {
    gradient[i] = passes[i] != 0 ? gradient[i] : 0.0f;
  }
}

}  // namespace mpq
