// The mean patch a convolution sees: the expectation of its im2col column over output positions.
// Because a convolution is linear, E[w x + b] = w E[x] + b: with it the mean of every
// pre-activation follows for any weights without running them.
#ifndef MPQ_QUANTIZE_PATCH_MEAN_H_
#define MPQ_QUANTIZE_PATCH_MEAN_H_

#include <cstdint>
#include <span>
#include <vector>

#include "format/graph.h"

namespace mpq {

// Adds the sums of one image over all output positions: [kernel_h][kernel_w][channels] of the
// input tensor (all of its channels, also for depthwise and grouped convolutions). Padding counts
// as 0. `src`: packed hwc.
class PatchSum {
 public:
  PatchSum() = default;
  // `node` is a convolution of `graph`.
  PatchSum(const Graph& graph, const Node& node);

  void Add(std::span<const float> src);
  void Merge(const PatchSum& other);
  std::vector<double> Mean() const;

 private:
  // Per tap of a kernel row, the sum over the output columns that it serves.
  void SumTaps(const float* row, std::span<float> taps) const;

  Window window_;
  uint32_t height_ = 0, width_ = 0, channels_ = 0;
  uint32_t out_height_ = 0, out_width_ = 0;
  std::vector<double> sum_;
  uint64_t positions_ = 0;
};

// E[sum(weights * patch)] per output channel, without the bias. `weights`: ohwi of `node`.
std::vector<double> MeanOutput(const Graph& graph, const Node& node,
                               std::span<const double> weights, std::span<const double> patch);

}  // namespace mpq

#endif  // MPQ_QUANTIZE_PATCH_MEAN_H_
