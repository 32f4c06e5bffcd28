#include "quantize/histogram.h"

#include <algorithm>
#include <cmath>

#include "format/message.h"

namespace mpq {

namespace {

// Halves the number of bins by adding neighbours.
void MergePairs(std::vector<uint64_t>& bins) {
  const size_t half = (bins.size() + 1) / 2;
  for (size_t i = 0; i < half; ++i) {
    bins[i] = bins[2 * i] + (2 * i + 1 < bins.size() ? bins[2 * i + 1] : 0);
  }
  bins.resize(half);
}

void AddBins(std::vector<uint64_t>& to, const std::vector<uint64_t>& from) {
  if (to.size() < from.size()) to.resize(from.size());
  for (size_t i = 0; i < from.size(); ++i) to[i] += from[i];
}

}  // namespace

double Histogram::bin_width() const { return std::ldexp(1.0, exponent_); }

void Histogram::SetExponent(int exponent) {
  // Empty bins need no merging, however far the width jumps.
  if (positive_.empty() && negative_.empty()) exponent_ = exponent;
  for (; exponent_ < exponent; ++exponent_) {
    MergePairs(positive_);
    MergePairs(negative_);
  }
}

void Histogram::WidenFor(float largest_magnitude) {
  // Bins cover [-kBinsPerSide, kBinsPerSide) * width; strictly inside on both sides.
  if (largest_magnitude <= 0) return;
  int exponent = 0;
  std::frexp(largest_magnitude, &exponent);  // largest < 2^exponent
  constexpr int kLog2Bins = 11;
  static_assert(1 << kLog2Bins == kBinsPerSide);
  SetExponent(std::max(exponent_, exponent - kLog2Bins));
}

Status Histogram::Add(std::span<const float> values) {
  if (values.empty()) return Status();
  float lo = values[0];
  float hi = values[0];
  bool finite = true;
  for (const float x : values) {
    lo = std::min(lo, x);
    hi = std::max(hi, x);
    finite &= std::isfinite(x);
  }
  if (!finite) {
    return Error(ErrorCode::kInvalidArgument, "values are not finite");
  }
  min_ = empty() ? lo : std::min(min_, lo);
  max_ = empty() ? hi : std::max(max_, hi);
  WidenFor(std::max(hi, -lo));
  const float inverse_width = std::ldexp(1.0f, -exponent_);
  if (hi > 0) {
    positive_.resize(std::max(positive_.size(), static_cast<size_t>(hi * inverse_width) + 1));
  }
  if (lo < 0) {
    negative_.resize(
        std::max(negative_.size(), static_cast<size_t>(std::ceil(-lo * inverse_width))));
  }
  uint64_t zeros = 0;
  for (const float x : values) {
    if (x > 0) {
      ++positive_[static_cast<size_t>(x * inverse_width)];
    } else if (x < 0) {
      ++negative_[static_cast<size_t>(std::ceil(-x * inverse_width)) - 1];
    } else {
      ++zeros;
    }
  }
  num_zeros_ += zeros;
  num_values_ += values.size();
  return Status();
}

void Histogram::Merge(const Histogram& other) {
  if (other.empty()) return;
  min_ = empty() ? other.min_ : std::min(min_, other.min_);
  max_ = empty() ? other.max_ : std::max(max_, other.max_);
  Histogram coarser = other;
  const int exponent = std::max(exponent_, other.exponent_);
  SetExponent(exponent);
  coarser.SetExponent(exponent);
  AddBins(positive_, coarser.positive_);
  AddBins(negative_, coarser.negative_);
  num_zeros_ += other.num_zeros_;
  num_values_ += other.num_values_;
}

}  // namespace mpq
