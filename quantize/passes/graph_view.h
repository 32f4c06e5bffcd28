// Questions about a graph's structure that passes and methods ask.
#ifndef MPQ_QUANTIZE_PASSES_GRAPH_VIEW_H_
#define MPQ_QUANTIZE_PASSES_GRAPH_VIEW_H_

#include <cstdint>
#include <span>
#include <vector>

#include "format/graph.h"

namespace mpq {

inline bool IsConvolution(const Node& node) {
  return node.kind == OpKind::kConv || node.kind == OpKind::kDepthwiseConv;
}

// Of one image.
inline uint64_t NumValues(const Tensor& tensor) {
  return uint64_t{tensor.height} * tensor.width * tensor.channels;
}

// A tensor's producer and consumers, as node indices. Valid while the graph's edges stay.
class GraphView {
 public:
  explicit GraphView(const Graph& graph);

  // kNone for the graph's input.
  uint32_t producer(uint32_t tensor) const { return producer_[tensor]; }
  // In running order; a node that reads the tensor twice is listed twice.
  std::span<const uint32_t> consumers(uint32_t tensor) const { return consumers_[tensor]; }
  // The tensor's only reader, or kNone; the graph's output counts as one more reader.
  uint32_t only_consumer(uint32_t tensor) const;

 private:
  std::vector<uint32_t> producer_;
  std::vector<std::vector<uint32_t>> consumers_;
  uint32_t output_;
};

// The channel of the input tensor that a weight reads, by the weight's index in ohwi order.
class InputChannelIndex {
 public:
  InputChannelIndex(const Graph& graph, const Node& node)
      : depthwise_(node.kind == OpKind::kDepthwiseConv),
        in_channels_(graph.weights[node.weights].in_channels),
        row_(size_t{graph.weights[node.weights].kernel_h} * graph.weights[node.weights].kernel_w *
             in_channels_),
        group_channels_(graph.weights[node.weights].out_channels / (depthwise_ ? 1 : node.groups)) {
  }

  uint32_t operator()(size_t ohwi) const {
    const auto out = static_cast<uint32_t>(ohwi / row_);
    if (depthwise_) return out;
    return out / group_channels_ * in_channels_ + static_cast<uint32_t>(ohwi % in_channels_);
  }

 private:
  bool depthwise_;
  uint32_t in_channels_;
  size_t row_;
  uint32_t group_channels_;
};

}  // namespace mpq

#endif  // MPQ_QUANTIZE_PASSES_GRAPH_VIEW_H_
