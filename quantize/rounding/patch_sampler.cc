#include "quantize/rounding/patch_sampler.h"

#include <algorithm>

namespace mpq {

// splitmix64's mixing, Steele et al. 2014.
double SampleOffset(uint64_t seed, uint64_t image, uint64_t node) {
  uint64_t z = seed + 0x9e3779b97f4a7c15u * (image * 65536 + node + 1);
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
  return static_cast<double>((z ^ (z >> 31)) >> 11) * 0x1p-53;
}

PatchSampler::PatchSampler(const Graph& graph, const Node& node, uint32_t num_images)
    : window_(node.window),
      src_(graph.tensors[node.inputs[0]]),
      out_width_(graph.tensors[node.output].width),
      positions_(graph.tensors[node.output].height * out_width_) {
  const bool depthwise = node.kind == OpKind::kDepthwiseConv;
  groups_ = depthwise ? src_.channels : node.groups;
  group_channels_ = src_.channels / groups_;
  taps_ = window_.kernel_h * window_.kernel_w;
  const uint64_t wanted =
      std::max<uint64_t>(kMinMomentSamples, uint64_t{kMomentSamplesPerInput} * size());
  samples_ =
      static_cast<uint32_t>(std::min<uint64_t>((wanted + num_images - 1) / num_images, positions_));
}

uint32_t PatchSampler::Position(uint32_t sample, double offset) const {
  return std::min(static_cast<uint32_t>((sample + offset) * positions_ / samples_), positions_ - 1);
}

void PatchSampler::Sample(std::span<const float> src, double offset,
                          std::span<float> patches) const {
  for (uint32_t s = 0; s < samples_; ++s) {
    for (uint32_t tap = 0; tap < taps_; ++tap) {
      SampleTap(src, Position(s, offset), s, tap, patches);
    }
  }
}

void PatchSampler::SampleTap(std::span<const float> src, uint32_t position, uint32_t sample,
                             uint32_t tap, std::span<float> patches) const {
  const int64_t y = int64_t{position / out_width_} * window_.stride_h +
                    int64_t{tap / window_.kernel_w} * window_.dilation_h - window_.pad_top;
  const int64_t x = int64_t{position % out_width_} * window_.stride_w +
                    int64_t{tap % window_.kernel_w} * window_.dilation_w - window_.pad_left;
  const bool inside = y >= 0 && y < src_.height && x >= 0 && x < src_.width;
  const float* pixel = inside ? src.data() + (y * src_.width + x) * src_.channels : nullptr;
  for (uint32_t g = 0; g < groups_; ++g) {
    float* dst =
        patches.data() + (size_t{g} * samples_ + sample) * size() + size_t{tap} * group_channels_;
    for (uint32_t c = 0; c < group_channels_; ++c) {
      dst[c] = inside ? pixel[g * group_channels_ + c] : 0.0f;
    }
  }
}

}  // namespace mpq
