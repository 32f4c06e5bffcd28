// Samples of what a convolution reads: im2col columns of some output positions of every image.
#ifndef MPQ_QUANTIZE_ROUNDING_PATCH_SAMPLER_H_
#define MPQ_QUANTIZE_ROUNDING_PATCH_SAMPLER_H_

#include <cstddef>
#include <cstdint>
#include <span>

#include "format/graph.h"

namespace mpq {

// About kMomentSamplesPerInput samples of all images together for each row of a moment matrix, at
// least kMinMomentSamples.
inline constexpr uint32_t kMomentSamplesPerInput = 8;
inline constexpr uint32_t kMinMomentSamples = 16384;

// In [0, 1): where the samples of an image begin; the same for the same three numbers.
double SampleOffset(uint64_t seed, uint64_t image, uint64_t node);

class PatchSampler {
 public:
  PatchSampler(const Graph& graph, const Node& node, uint32_t num_images);

  uint32_t groups() const { return groups_; }  // the channels of a depthwise convolution
  uint32_t size() const { return taps_ * group_channels_; }  // of a patch: a weight row's
  uint32_t samples() const { return samples_; }              // of an image
  size_t values() const { return size_t{samples_} * groups_ * size(); }

  // The output position of a sample. They lie at equal distances, moved by `offset` in [0, 1).
  uint32_t Position(uint32_t sample, double offset) const;

  // patches: [groups][samples][size], in the order of a weight row. Padding is 0.
  void Sample(std::span<const float> src, double offset, std::span<float> patches) const;

 private:
  void SampleTap(std::span<const float> src, uint32_t position, uint32_t sample, uint32_t tap,
                 std::span<float> patches) const;

  const Window window_;
  const Tensor& src_;
  const uint32_t out_width_, positions_;
  uint32_t groups_, group_channels_, taps_, samples_;
};

}  // namespace mpq

#endif  // MPQ_QUANTIZE_ROUNDING_PATCH_SAMPLER_H_
