#include "quantize/patch_mean.h"

#include <algorithm>

#include "quantize/passes/graph_view.h"

namespace mpq {

PatchSum::PatchSum(const Graph& graph, const Node& node)
    : window_(node.window),
      height_(graph.tensors[node.inputs[0]].height),
      width_(graph.tensors[node.inputs[0]].width),
      channels_(graph.tensors[node.inputs[0]].channels),
      out_height_(graph.tensors[node.output].height),
      out_width_(graph.tensors[node.output].width),
      sum_(size_t{node.window.kernel_h} * node.window.kernel_w * channels_) {}

void PatchSum::Add(std::span<const float> src) {
  const size_t taps_row = size_t{window_.kernel_w} * channels_;
  std::vector<float> taps(taps_row);
  for (uint32_t h = 0; h < height_; ++h) {
    const float* row = src.data() + size_t{h} * width_ * channels_;
    bool summed = false;
    for (uint32_t kh = 0; kh < window_.kernel_h; ++kh) {
      // The output row that reads input row h through kernel row kh, if there is one.
      const int64_t from_top = int64_t{h} + window_.pad_top - int64_t{kh} * window_.dilation_h;
      if (from_top < 0 || from_top % window_.stride_h != 0) continue;
      if (from_top / window_.stride_h >= out_height_) continue;
      if (!summed) SumTaps(row, taps);
      summed = true;
      double* sum = sum_.data() + kh * taps_row;
      for (size_t i = 0; i < taps_row; ++i) sum[i] += taps[i];
    }
  }
  positions_ += uint64_t{out_height_} * out_width_;
}

void PatchSum::SumTaps(const float* row, std::span<float> taps) const {
  std::fill(taps.begin(), taps.end(), 0.0f);
  for (uint32_t kw = 0; kw < window_.kernel_w; ++kw) {
    float* sum = taps.data() + size_t{kw} * channels_;
    for (uint32_t ow = 0; ow < out_width_; ++ow) {
      const int64_t w =
          int64_t{ow} * window_.stride_w + int64_t{kw} * window_.dilation_w - window_.pad_left;
      if (w < 0 || w >= width_) continue;
      const float* pixel = row + w * channels_;
      for (uint32_t c = 0; c < channels_; ++c) sum[c] += pixel[c];
    }
  }
}

void PatchSum::Merge(const PatchSum& other) {
  for (size_t i = 0; i < sum_.size(); ++i) sum_[i] += other.sum_[i];
  positions_ += other.positions_;
}

std::vector<double> PatchSum::Mean() const {
  std::vector<double> mean = sum_;
  for (double& m : mean) m /= static_cast<double>(std::max<uint64_t>(positions_, 1));
  return mean;
}

std::vector<double> MeanOutput(const Graph& graph, const Node& node,
                               std::span<const double> weights, std::span<const double> patch) {
  const Weights& shape = graph.weights[node.weights];
  const uint32_t channels = graph.tensors[node.inputs[0]].channels;
  const size_t row = weights.size() / shape.out_channels;
  const InputChannelIndex input_channel(graph, node);
  std::vector<double> mean(shape.out_channels);
  for (size_t i = 0; i < weights.size(); ++i) {
    const size_t tap = i % row / shape.in_channels;
    mean[i / row] += weights[i] * patch[tap * channels + input_channel(i)];
  }
  return mean;
}

}  // namespace mpq
