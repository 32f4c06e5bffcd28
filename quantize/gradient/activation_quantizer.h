// What happens to a tensor of a training network after its operator: the fused clip, and rounding
// to the codes of the integer model with a straight-through gradient (Bengio et al., "Estimating or
// Propagating Gradients Through Stochastic Neurons", 2013).
#ifndef MPQ_QUANTIZE_GRADIENT_ACTIVATION_QUANTIZER_H_
#define MPQ_QUANTIZE_GRADIENT_ACTIVATION_QUANTIZER_H_

#include <cstdint>
#include <limits>
#include <span>

#include "format/graph.h"

namespace mpq {

// How a tensor is stored in the integer model: real = scale * (code - zero_point), codes within
// 0..2^bits - 1. The scale 0 stands for a float tensor.
struct TensorCodes {
  float scale = 0;
  int32_t zero_point = 0;
  uint8_t bits = 8;
};

// y = scale * clamp(round(x / scale), lowest, highest) with codes, y = clamp(x, lo, hi) without;
// dx = dy where lo <= x <= hi, else 0. lo and hi are the clip's bounds, with codes also those of
// the codes. lowest and highest are the clip's bounds as the integer engine has them.
class ActivationQuantizer {
 public:
  ActivationQuantizer() = default;
  ActivationQuantizer(const Node& node, const TensorCodes& codes);

  bool is_identity() const { return scale_ == 0 && lo_ == -kInfinity && hi_ == kInfinity; }
  // In place. passes[i]: whether the gradient of value i passes.
  void Forward(std::span<float> values, std::span<uint8_t> passes) const;
  // The same for values whose gradient nobody wants.
  void Round(std::span<float> values) const;
  static void Backward(std::span<const uint8_t> passes, std::span<float> gradient);

 private:
  static constexpr float kInfinity = std::numeric_limits<float>::infinity();

  float scale_ = 0, inverse_ = 0;
  float lo_ = -kInfinity, hi_ = kInfinity;
  float lowest_ = 0, highest_ = 0;  // steps from the zero point
};

}  // namespace mpq

#endif  // MPQ_QUANTIZE_GRADIENT_ACTIVATION_QUANTIZER_H_
