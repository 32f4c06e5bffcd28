// From the distribution of a tensor's values to its scale and zero point.
#ifndef MPQ_QUANTIZE_ACTIVATION_RANGE_H_
#define MPQ_QUANTIZE_ACTIVATION_RANGE_H_

#include <cstdint>
#include <span>

#include "quantize/histogram.h"

namespace mpq {

struct ActivationRange {
  float scale = 1.0f;
  int32_t zero_point = 0;
};

enum class RangeMethod : uint8_t {
  kMinMax,        // nothing is clipped
  kPercentile,    // kPercentileKept of the values lie inside on each side
  kSquaredError,  // the least E[(x - Q(x))^2]
};
const char* RangeMethodName(RangeMethod method);

inline constexpr double kPercentileKept = 0.9999;

// E[(x - Q(x))^2] over the histogram (bins stand for their centres).
double QuantizationError(const Histogram& histogram, const ActivationRange& range, int bits);

// The range for codes 0..2^bits - 1. The zero point is 0 if no value is negative; 0 always has a
// code.
ActivationRange ChooseRange(const Histogram& histogram, int bits, RangeMethod method);

}  // namespace mpq

#endif  // MPQ_QUANTIZE_ACTIVATION_RANGE_H_
