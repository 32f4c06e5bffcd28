#include "quantize/rounding/network_pair.h"

#include <algorithm>

#include "quantize/images.h"
#include "quantize/passes/graph_view.h"

namespace mpq {

namespace {

// One more than the node that makes a tensor; 0 for the graph's input.
uint32_t NodesUpTo(const Graph& graph, const GraphView& view, uint32_t tensor) {
  return tensor == graph.input ? 0 : view.producer(tensor) + 1;
}

uint64_t ValueBytes(const Tensor& tensor, uint32_t num_views) {
  return sizeof(float) * uint64_t{num_views} * tensor.height * tensor.width * tensor.channels;
}

// Per node: whether its output is all that later nodes read of what was computed so far.
std::vector<bool> Bottlenecks(const Graph& graph) {
  const GraphView view(graph);
  std::vector<bool> result;
  uint32_t last_reader = 0;  // of all tensors but the newest
  uint32_t newest = graph.input;
  for (uint32_t n = 0; n < graph.nodes.size(); ++n) {
    if (!view.consumers(newest).empty()) {
      last_reader = std::max(last_reader, view.consumers(newest).back());
    }
    newest = graph.nodes[n].output;
    result.push_back(last_reader <= n);
  }
  return result;
}

}  // namespace

Graph GraphBetween(const Graph& graph, uint32_t first, std::span<const uint32_t> tensors) {
  const GraphView view(graph);
  const uint32_t begin = NodesUpTo(graph, view, first);
  uint32_t end = begin;
  for (const uint32_t tensor : tensors) end = std::max(end, NodesUpTo(graph, view, tensor));
  Graph part = graph;
  part.input = first;
  part.nodes.assign(graph.nodes.begin() + begin, graph.nodes.begin() + end);
  part.output = part.nodes.empty() ? first : part.nodes.back().output;
  return part;
}

uint32_t FloatCheckpoint::BestFor(std::span<const uint32_t> tensors) const {
  const GraphView view(*graph_);
  const auto num_views = static_cast<uint32_t>(values_.size());
  auto end = static_cast<uint32_t>(graph_->nodes.size());
  for (const uint32_t tensor : tensors) end = std::min(end, NodesUpTo(*graph_, view, tensor));
  const std::vector<bool> bottlenecks = Bottlenecks(*graph_);
  const uint32_t current = NodesUpTo(*graph_, view, tensor_);
  for (uint32_t n = end; n-- > current;) {
    const uint32_t tensor = graph_->nodes[n].output;
    if (bottlenecks[n] && ValueBytes(graph_->tensors[tensor], num_views) <= kMaxBytes) {
      return tensor;
    }
  }
  return tensor_;
}

uint64_t FloatCheckpoint::EstimateBytes(const Graph& graph, uint32_t num_views) {
  const std::vector<bool> bottlenecks = Bottlenecks(graph);
  uint64_t most = 0;
  for (uint32_t n = 0; n < graph.nodes.size(); ++n) {
    const uint64_t bytes = ValueBytes(graph.tensors[graph.nodes[n].output], num_views);
    if (bottlenecks[n] && bytes <= kMaxBytes) most = std::max(most, bytes);
  }
  return most;
}

Status NetworkPair::RunFloat(std::span<const uint8_t> pixels, std::span<const float> values) {
  if (values.empty()) {
    src_.resize(pixels.size());
    NormalizePixels(preprocessing_, pixels, src_);
  } else {
    src_.assign(values.begin(), values.end());
  }
  if (graph_.nodes.empty()) return Status();
  if (executor_ == nullptr) {
    MPQ_ASSIGN_OR_RETURN(executor_, MakeFloatExecutor(graph_, {.keep_tensors = true}));
  }
  return executor_->Run(src_);
}

Status NetworkPair::RunQuantized(const Model& quantized, std::span<const uint8_t> pixels) {
  if (!session_.has_value()) {
    SessionOptions options;
    options.keep_tensors = true;
    MPQ_ASSIGN_OR_RETURN(session_, Session::Create(quantized, options));
  }
  return session_->Run(pixels);
}

Result<std::span<const float>> NetworkPair::Float(uint32_t tensor) const {
  if (tensor == graph_.input) return std::span<const float>(src_);
  return executor_->Read(tensor);
}

Result<std::vector<float>> NetworkPair::Storable(uint32_t tensor) const {
  MPQ_ASSIGN_OR_RETURN(const std::span<const float> values, Float(tensor));
  std::vector<float> result(values.begin(), values.end());
  const std::span<const float> scales = decisions_.equalization.scales(tensor);
  for (size_t i = 0; i < result.size() && !scales.empty(); ++i) {
    result[i] /= scales[i % scales.size()];
  }
  const ActivationDecision& stored = decisions_.activations[tensor];
  const float lo = stored.scale * static_cast<float>(-stored.zero_point);
  const float hi = stored.scale * static_cast<float>((1 << stored.bits) - 1 - stored.zero_point);
  for (float& value : result) value = std::clamp(value, lo, hi);
  return result;
}

Result<std::vector<float>> NetworkPair::Quantized(uint32_t tensor) const {
  MPQ_ASSIGN_OR_RETURN(const std::vector<int16_t> codes,
                       session_->ReadTensorCodes(tensors_[tensor]));
  const ActivationDecision& stored = decisions_.activations[tensor];
  std::vector<float> result(codes.size());
  for (size_t i = 0; i < codes.size(); ++i) {
    result[i] = stored.scale * static_cast<float>(codes[i] - stored.zero_point);
  }
  return result;
}

}  // namespace mpq
