// The distribution of one tensor's values, gathered over many images.
//
// Bins have a power-of-two width and bin i covers [i*width, (i+1)*width), so doubling the width
// merges pairs of bins exactly: however the values are split and in whatever order parts are
// merged, the result is the same. Exact zeros are counted apart: after ReLU they are most of the
// tensor, and every quantiser represents them without error.
#ifndef MPQ_QUANTIZE_HISTOGRAM_H_
#define MPQ_QUANTIZE_HISTOGRAM_H_

#include <cstdint>
#include <span>
#include <vector>

#include "mpq/status.h"

namespace mpq {

class Histogram {
 public:
  // Bins on each side of zero; values in use fill at least half of them on the larger side.
  static constexpr int kBinsPerSide = 2048;

  // Fails on values that are not finite.
  Status Add(std::span<const float> values);
  void Merge(const Histogram& other);

  float min() const { return min_; }
  float max() const { return max_; }
  bool empty() const { return num_values_ == 0; }
  uint64_t num_values() const { return num_values_; }
  uint64_t num_zeros() const { return num_zeros_; }
  double bin_width() const;

  // f(centre, count) for every bin that is not empty, ascending.
  template <typename F>
  void ForEachBin(F f) const {
    const double width = bin_width();
    const int below = static_cast<int>(negative_.size());
    for (int i = -below; i < static_cast<int>(positive_.size()); ++i) {
      const uint64_t count = i < 0 ? negative_[-1 - i] : positive_[i];
      if (count > 0) f((i + 0.5) * width, count);
    }
  }

 private:
  void WidenFor(float largest_magnitude);
  void SetExponent(int exponent);

  int exponent_ = kMinExponent;     // width = 2^exponent
  std::vector<uint64_t> negative_;  // bins -1, -2, ...
  std::vector<uint64_t> positive_;  // bins 0, 1, ...
  uint64_t num_values_ = 0;
  uint64_t num_zeros_ = 0;
  float min_ = 0.0f;
  float max_ = 0.0f;

  static constexpr int kMinExponent = -120;
};

}  // namespace mpq

#endif  // MPQ_QUANTIZE_HISTOGRAM_H_
